"""Seen: products of fp32 matrices on the vector engine of a device whose matrix engine takes TF32.

Instead: `torch.set_float32_matmul_precision("high")`; or half precision under `torch.autocast`.

Saves: most of their time: the matrix engine's TF32 peak is several times the vector peak.

When not: products need more than TF32's 10 bits of mantissa, as in solvers and some losses.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, steps
from traceanalyzer.fusion.savings import Work, saving
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band, OpRow
from traceanalyzer.records.units import duration

_SHARE = 0.02  # of busy time


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all such rows that arithmetic limits."""
    device = graph.device
    if device.kind != "gpu" or not device.peak("matrix", "tf32"):
        return
    rows = [row for row in graph.rows if _slow(row)]
    time = sum(row.attributed_ns for row in rows)
    if time < _SHARE * graph.busy_ns:
        return
    count = steps(graph)
    parts = []
    for row in rows:
        moved = (row.read_bytes or 0) + (row.write_bytes or 0)
        after = Work(int(moved / count), matrix=(("tf32", int((row.flops or 0) / count)),))
        parts.append(saving(row.attributed_ns / count, after, device, graph.floor_ns))
    known = [part for part in parts if part is not None]
    low, mid, high = (sum(getattr(part, end) for part in known) for end in ("low", "mid", "high"))
    calls = sum(row.calls for row in rows)
    largest = max(rows, key=lambda row: row.attributed_ns)
    told = f"{calls / count:.0f} products a step in fp32 on the vector engine, {duration(time / count)}; the "
    told += f"largest: {largest.name} {largest.input_dims}"
    yield Match((), "T0", saved=Band(low, mid, high), evidence=told, where="the whole model")


def _slow(row: OpRow) -> bool:
    vector = row.engine == "vector" and row.precision == "fp32"
    return vector and row.operator_class == "tensor_contraction" and row.verdict == "compute_bound"


RULE = Rule(
    "tf32_products", __doc__ or "", find,
    title="fp32 products do not use the matrix engine",
    action="Allow TF32 for them, or run them in bf16 under autocast.",
    snippet="torch.set_float32_matmul_precision(\"high\")",
    caveats=("TF32 keeps 10 bits of the mantissa: check the loss curve",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html",
)  # fmt: skip
