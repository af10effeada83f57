"""Why fused attention refuses a call: what its arguments show, and what PyTorch itself answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from tests.fusion.scenes import op
from traceanalyzer.fusion.rules import rule_named
from traceanalyzer.fusion.rules.sdpa_refusals import refusal, unseen
from traceanalyzer.records import OpCall

FLASH = 1  # at::SDPBackend::flash_attention
TYPES = {torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16", torch.int64: "int64",
         torch.bool: "bool"}  # fmt: skip


def q(*size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(size or (2, 4, 16, 8)).to(dtype)


def across(x: torch.Tensor) -> torch.Tensor:
    """The same, its channels a token apart."""
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


CALLS: Mapping[str, tuple[tuple[torch.Tensor | None, ...], float]] = {
    "taken": ((q(), q(), q(), None), 0.0),
    "another type": ((*[q(dtype=torch.bfloat16)] * 3, None), 0.0),
    "a mask for each head": ((q(), q(), q(), torch.ones(2, 1, 16, 16, dtype=torch.bool)), 0.0),
    "a mask that is added": ((q(), q(), q(), q(16, 16)), 0.0),
    "a mask of keys alone": ((q(), q(), q(), q(1, 16)), 0.0),
    "dropout": ((q(), q(), q(), None), 0.1),
    "no heads": ((q(2, 16, 8), q(2, 16, 8), q(2, 16, 8), None), 0.0),
    "heads of other channels": ((q(), q(), q(2, 4, 16, 4), None), 0.0),
    "other batches": ((q(), q(1, 4, 16, 8), q(1, 4, 16, 8), None), 0.0),
    "a mask of three dimensions": ((q(), q(), q(), q(2, 16, 16)), 0.0),
    "channels apart": ((across(q()), q(), q(), None), 0.0),
}  # fmt: skip


def recorded(tensors: tuple[torch.Tensor | None, ...], dropout: float) -> OpCall:
    """The call as the profiler's trace has it."""
    sizes = [tuple(each.shape) if each is not None else () for each in tensors]
    types = [TYPES[each.dtype] if each is not None else None for each in tensors]
    strides = [tuple(each.stride()) if each is not None else () for each in tensors]
    call = op(
        "scaled_dot_product_attention", *sizes, (), (), (), (), dtypes=[*types, None, None, None, None],
        concrete=("", "", "", "", str(dropout), "False", "", "False"), strides=strides,
    ).call  # fmt: skip
    assert call is not None
    return call


@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_is_what_pytorch_refuses(name: str) -> None:
    tensors, dropout = CALLS[name]
    chosen = torch._fused_sdp_choice(*tensors, dropout_p=dropout)  # type: ignore[arg-type]
    seen = refusal(recorded(tensors, dropout), on_gpu=False)
    assert (seen is None) == (chosen == FLASH)


@pytest.mark.parametrize("name", CALLS)
def test_each_snippet_runs_as_it_is_pasted(name: str) -> None:
    tensors, dropout = CALLS[name]
    seen = refusal(recorded(tensors, dropout), on_gpu=False)
    rule = rule_named("attention_fallback")
    assert rule is not None
    arguments: dict[str, Any] = dict(zip(("q", "k", "v", "mask"), tensors, strict=True))
    exec(compile(seen.snippet if seen else rule.snippet, name, "exec"), arguments)
    assert torch.isfinite(arguments["y"]).all()


def test_a_head_that_does_not_fill_16_bytes_is_padded_to_the_same_result() -> None:
    x = q(2, 4, 16, 6)
    seen = refusal(recorded((x, x, x, None), 0.0), on_gpu=True)
    assert seen is not None and "4 does not divide" in seen.why
    arguments = {"q": x, "k": x, "v": x}
    exec(seen.snippet, arguments)
    torch.testing.assert_close(arguments["y"], torch.nn.functional.scaled_dot_product_attention(x, x, x))
    assert refusal(recorded((q(), q(), q(), None), 0.1), on_gpu=True) is None, "a GPU's kernels drop"


def test_a_mask_that_is_trained_is_what_is_left() -> None:
    mask = q(16, 16).requires_grad_()
    assert torch._fused_sdp_choice(q(), q(), q(), mask) != FLASH
    call = recorded((q(), q(), q(), mask), 0.0)
    seen = unseen(call, on_gpu=False, trained=True)
    assert seen is not None and "detach" in seen.snippet
    assert unseen(call, on_gpu=False, trained=False) is None
    assert unseen(recorded((q(), q(), q(), None), 0.0), on_gpu=False, trained=True) is None
