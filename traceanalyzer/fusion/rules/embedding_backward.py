"""Seen: the gradient of an embedding table, filled and accumulated in full, of which a step touches few rows.

Instead: `nn.Embedding(..., sparse=True)` with an optimizer that takes sparse gradients (SparseAdam, SGD,
Adagrad).

Saves: writing the whole table's gradient, and reading it in the optimizer. No time is predicted.

When not: most rows are touched; the table is shared with the output layer; the optimizer has no sparse
form.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import duration

_SPARSE = 4  # rows of the table for each that a step can touch
_SHARE = 0.02  # of the step


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each such gradient that takes a visible part of the step."""
    for node in graph.nodes:
        if free(node) and node.name == "embedding_dense_backward" and node.time_ns >= _SHARE * graph.step_ns:
            rows, touched = _rows(node), _touched(node)
            if rows and rows > _SPARSE * touched:
                told = f"a table of {rows:,} rows, of which a step touches {touched:,} at most; "
                told += f"{duration(node.time_ns)} a step"
                yield Match((node,), "T0", evidence=told)


def _rows(node: Node) -> int:
    text = node.call.concrete[2] if len(node.call.concrete) > 2 else ""
    return int(text) if text.isdigit() else 0


def _touched(node: Node) -> int:
    count = 1
    for size in node.call.shapes[1] if len(node.call.shapes) > 1 else ():
        count *= size if isinstance(size, int) else 1
    return count


RULE = Rule(
    "embedding_backward", __doc__ or "", find,
    title="The gradient of a large embedding table is written in full",
    action="Make its gradient sparse, with an optimizer that takes it.",
    snippet="embedding = torch.nn.Embedding(rows, width, sparse=True)",
    caveats=("not for a table that the output layer shares",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html",
)  # fmt: skip
