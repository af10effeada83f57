"""Operators that another one gives one tensor twice: what the profiler's second observer says of tensors."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ExecutionTraceObserver

import traceanalyzer
from tests.cost.test_bytes_everywhere import runs
from traceanalyzer.cost import formula_of
from traceanalyzer.inference.one_tensor import _SQUARED

LISTED = {(caller, inner) for inner, callers in _SQUARED.items() for caller in callers}


def observed(tmp_path: Path) -> list[dict[str, Any]]:
    """Every operator that runs in the samples, its tensors by their storages."""
    torch.manual_seed(0)
    every = list(runs(torch.float32))
    observer = ExecutionTraceObserver()
    observer.register_callback(str(tmp_path / "tensors.json"))
    observer.start()
    for run in every:
        run()
    observer.stop()
    observer.unregister_callback()
    nodes: list[dict[str, Any]] = json.loads((tmp_path / "tensors.json").read_text())["nodes"]
    return nodes


def first_two(node: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(storage, offset, elements, dims, strides) of the first two inputs, tensors with elements both."""
    given = node["inputs"]
    recorded = zip(given["values"], given["shapes"], given["strides"], strict=True)
    two = [(value, f"{dims} {strides}") for value, dims, strides in recorded][:2]
    tensors = [(*v[1:4], layout) for v, layout in two if isinstance(v, list) and len(v) == 6]
    return tensors if len(tensors) == 2 and all(t[2] for t in tensors) else []


@pytest.mark.slow
def test_every_pair_that_always_gets_one_tensor_is_listed(tmp_path: Path) -> None:
    """Of all operators with samples that call priced ones; and what is listed does so always."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = observed(tmp_path)
    names = {node["id"]: node["name"] for node in nodes}
    met: Counter[tuple[str, str]] = Counter()
    twice: Counter[tuple[str, str]] = Counter()
    for node in nodes:
        pair, tensors = (names.get(node["ctrl_deps"], ""), node["name"]), first_two(node)
        if tensors and _reads_both(*pair):
            met[pair] += 1
            twice[pair] += tensors[0] == tensors[1]
    assert len(met) > 100
    always = {pair for pair, count in met.items() if count == twice[pair]}
    assert {pair for pair in LISTED if pair in met} <= always
    assert {pair for pair in always if met[pair] > 2} <= LISTED


def _reads_both(caller: str, inner: str) -> bool:
    """Not `f(x, out=x)` and `f_(x, y)`, which write one; and priced by itself, as `matmul` is not."""
    formula = formula_of(inner)
    writes = inner.endswith("_") or inner == caller.removesuffix("_")
    both_of_aten = caller.startswith("aten::") and inner.startswith("aten::")
    return both_of_aten and not writes and formula is not None and formula.role == "work"


@pytest.mark.parametrize(
    ("ask", "inner", "caller"),
    [(torch.isnan, "aten::ne", "isnan"), (torch.isfinite, "aten::eq", "isfinite"),
     (torch.nanmean, "aten::ne", "nanmean")],
)  # fmt: skip
def test_it_is_read_once(ask: Any, inner: str, caller: str, tmp_path: Path) -> None:
    x = torch.rand(300, 400)
    with torch.profiler.profile(record_shapes=True) as profiler:
        ask(x)
        x.eq(x.clone()), x.ne(x.clone())
    profiler.export_chrome_trace(str(tmp_path / "t.json"))
    rows = traceanalyzer.analyze(tmp_path / "t.json").op_rows
    read = sorted(r.read_bytes or 0 for r in rows if r.name == inner and len(r.input_dims or ()[0]) == 2)
    assert [r for r in read if r > 4] == [4 * 120_000, 8 * 120_000], (caller, "one tensor; two of one size")
