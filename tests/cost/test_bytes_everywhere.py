"""Priced bytes of all operators that PyTorch's own tests have samples of, their gradients, and other types.

The samples are of `torch.testing._internal`: small, with strides, without elements, in corner cases.
"""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

from tests.cost.live import flat, watched
from tests.cost.truths import compare
from traceanalyzer.cost.formulas.foreign import DATA_DEPENDENT_OPERATORS

SAMPLES = 4  # of each operator and type
# The operators compared in float32; after a change that is meant, write them anew.
SWEPT = Path(__file__).with_name("swept_operators.txt")
# Operators that are compared at least, of each type.
NAMES = {torch.float32: 400, torch.bfloat16: 350, torch.int64: 230, torch.bool: 180, torch.complex64: 170}
UNPRICED = {
    **DATA_DEPENDENT_OPERATORS,
    "aten::normal": "the size of the result is not among the recorded dims",
    "aten::_embedding_bag_backward": "made of others",
    **dict.fromkeys(
        ("aten::narrow_copy", "aten::hash_tensor", "aten::rrelu_with_noise", "aten::histogram"),
        "no formula: not met in training",
    ),
}


def runs(dtype: torch.dtype) -> Iterator[Callable[[], object]]:
    """Each calls one operator with one sample, and its gradient where it has one."""
    for op in op_db:
        if dtype not in op.dtypes or op.name.startswith(("jiterator", "sparse", "to_sparse")):
            continue
        grads = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
        grads = grads and dtype.is_floating_point
        samples = list(op.sample_inputs("cpu", dtype, requires_grad=grads))
        for sample in random.Random(op.name).sample(samples, min(SAMPLES, len(samples))):
            yield lambda op=op, sample=sample: forward_and_backward(op, sample)


def forward_and_backward(op: Any, sample: Any) -> None:
    out = op(sample.input, *sample.args, **sample.kwargs)
    made = [t for t in flat(out) if t.requires_grad and t.grad_fn is not None]
    given = [t for t in flat([sample.input, *sample.args, *sample.kwargs.values()]) if t.requires_grad]
    if made and given:
        with contextlib.suppress(RuntimeError):  # of complex eigenvectors, whose phase is free
            torch.autograd.grad(made, given, list(map(torch.ones_like, made)), allow_unused=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", NAMES, ids=str)
def test_bytes(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = list(runs(dtype))
        pairs = watched(lambda: [run() for run in every], tmp_path / "t.json")
    compared = compare(pairs, UNPRICED)
    names = {call.name for call in compared.calls}
    assert not compared.wrong, "\n".join(compared.wrong)
    assert len(names) >= NAMES[dtype], len(names)
    if dtype == torch.float32:
        assert SWEPT.read_text(encoding="utf-8").split() == sorted(names)
