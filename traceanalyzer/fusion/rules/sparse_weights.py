"""Seen: in inference, large products in half precision, limited by arithmetic, on a device whose matrix
engine skips zeros in weights of which two in four are zero.

Instead: weights pruned 2:4 and converted by `torch.sparse.to_sparse_semi_structured`.

Saves: at most half of their time. No time is predicted: kernels reach less of the doubled peak.

When not: a model that has not been pruned, or loses accuracy by it; dims that 64 does not divide.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, steps
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import OpRow
from traceanalyzer.records.units import duration

_SHARE = 0.5  # of busy time: pruning a model is a project of its own
_ALIGNED = 64


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, without a time, where such products are most of busy time and nothing is trained."""
    trained = any(node.phase in ("backward", "optimizer") for node in graph.nodes)
    if trained or not graph.has_steps:  # of kernels on their own nobody knows which operand is a weight
        return
    if not graph.device.peak("matrix", "tf32"):  # Ampere and later, which skip zeros as well
        return
    rows = [row for row in graph.rows if _large(row)]
    time = sum(row.attributed_ns for row in rows)
    if rows and time >= _SHARE * graph.busy_ns:
        told = f"compute-bound products of weights take {duration(time / steps(graph))} a step, "
        told += f"{100 * time / graph.busy_ns:.2g} % of busy time"
        yield Match((), "T0", evidence=told, where="the linear layers")


def _large(row: OpRow) -> bool:
    half = row.precision in ("bf16", "fp16") and row.name in ("aten::mm", "aten::addmm")
    return half and row.verdict == "compute_bound" and _aligned(row)


def _aligned(row: OpRow) -> bool:
    weight = row.input_dims[-1] if row.name == "aten::mm" and row.input_dims else ()
    if row.name == "aten::addmm" and row.input_dims and len(row.input_dims) > 2:
        weight = row.input_dims[2]
    return len(weight) == 2 and all(isinstance(size, int) and size % _ALIGNED == 0 for size in weight)


RULE = Rule(
    "sparse_weights", __doc__ or "", find,
    title="Products could skip zeros in pruned weights",
    action="Prune two weights in four, fine-tune, and convert the linear layers.",
    snippet="layer.weight = torch.nn.Parameter(torch.sparse.to_sparse_semi_structured(layer.weight))",
    caveats=("accuracy must be checked", "no time is predicted: the gain depends on sizes and kernels"),
    docs="https://docs.pytorch.org/docs/stable/sparse.html",
)  # fmt: skip
