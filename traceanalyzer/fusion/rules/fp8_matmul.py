"""Seen: large products in bf16 or fp16, limited by arithmetic, on a device with FP8 peaks.

Instead: FP8 products, by torchao, TransformerEngine or `torch._scaled_mm`.

Saves: at most half of their time, less the casts and the search for scales. No time is predicted.

When not: training that does not converge in FP8; dims that 16 does not divide; small products.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, steps
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import OpRow
from traceanalyzer.records.units import duration

_SHARE = 0.3  # of busy time: below, converting a model is not worth the trouble


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, without a time, where such products are a large part of busy time."""
    if not graph.device.peak("matrix", "fp8"):
        return
    rows = [row for row in graph.rows if _large(row)]
    time = sum(row.attributed_ns for row in rows)
    if rows and time >= _SHARE * graph.busy_ns:
        told = f"compute-bound products in half precision take {duration(time / steps(graph))} a step, "
        told += f"{100 * time / graph.busy_ns:.2g} % of busy time"
        yield Match((), "T0", evidence=told, where="the whole model")


def _large(row: OpRow) -> bool:
    half = row.precision in ("bf16", "fp16") and row.name in ("aten::mm", "aten::addmm", "aten::_grouped_mm")
    return half and row.verdict == "compute_bound"


RULE = Rule(
    "fp8_matmul", __doc__ or "", find,
    title="Products in half precision could be FP8",
    action="Try FP8 for the large linear layers, with torchao's float8 training or TransformerEngine.",
    snippet="from torchao.float8 import convert_to_float8_training\nconvert_to_float8_training(model)",
    caveats=("convergence must be checked", "no time is predicted: casts and scales take a part of the gain"),
    docs="https://docs.pytorch.org/ao/stable/",
)  # fmt: skip
