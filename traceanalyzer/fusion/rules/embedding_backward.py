"""Seen: the gradient of an embedding table, filled and accumulated in full, of which a step touches few rows.

Instead: `nn.Embedding(..., sparse=True)` with an optimizer that takes sparse gradients (SparseAdam, SGD,
Adagrad).

Saves: writing the whole table's gradient, and reading it in the optimizer. No time is predicted.

When not: most rows are touched; the table is shared with the output layer; gradients are scaled by frequency
(`scale_grad_by_freq`); the optimizer, or the clipping of gradients, has no sparse form.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from traceanalyzer.cost.tensors import is_true
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.rules.matmuls import OPERANDS, shape_of
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import duration

_SPARSE = 4  # rows of the table for each that a step can touch
_SHARE = 0.02  # of the step
# Arguments of aten::embedding_backward and of this gradient; the latter has no sparse form.
_SPARSE_ARGUMENT, _BY_FREQUENCY = 5, 4


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each such gradient that takes a visible part of the step."""
    for node in graph.nodes:
        if free(node) and node.name == "embedding_dense_backward" and node.time_ns >= _SHARE * graph.step_ns:
            rows, touched = _rows(node), _touched(node)
            if touched and rows > _SPARSE * touched and not _settled(graph, node):
                told = f"a table of {rows:,} rows, of which a step touches {touched:,} at most; "
                told += f"{duration(node.time_ns)} per step"
                yield Match((node,), "T0", evidence=told)


def _settled(graph: StepGraph, node: Node) -> bool:
    """Whether the gradient is asked to be sparse already, cannot be, or is that of the output layer too."""
    ops, calls = graph.trace.ops, graph.trace.calls
    around = [calls[ops.call[row]] for row in graph.above(node) if ops.call[row] >= 0]
    asked = any(
        call.name == "aten::embedding_backward" and is_true(call.value(_SPARSE_ARGUMENT) or "")
        for call in around
    )
    return asked or is_true(node.call.value(_BY_FREQUENCY) or "") or _is_shared(graph, node)


def _is_shared(graph: StepGraph, node: Node) -> bool:
    """Whether a matmul is known to read the same table."""
    forward = forward_of(graph, node)
    looked_up = [each for each in graph.nodes if forward is not None and forward in _rows_round(graph, each)]
    tables = {graph.argument_tensors.get((each.place, 0)) for each in looked_up} - {None}
    return any(
        graph.argument_tensors.get((each.place, argument)) in tables
        for each in graph.nodes for argument in OPERANDS.get(each.name, ())
    )  # fmt: skip


def _rows_round(graph: StepGraph, node: Node) -> tuple[int, ...]:
    return (node.row, *graph.above(node))


def _rows(node: Node) -> int:
    text = (node.call.value(2) or "").strip()
    return int(text) if text.isdecimal() else 0


def _touched(node: Node) -> int:
    """Indices that are looked up; 0 where their dims are not recorded."""
    return prod(shape_of(node, 1) or (0,))


RULE = Rule(
    "embedding_backward", __doc__ or "", find,
    title="The gradient of a large embedding table is written in full",
    action="Make its gradient sparse, with an optimizer that takes it.",
    snippet="embedding = torch.nn.Embedding(rows, width, sparse=True)",
    caveats=("not for a table that the output layer shares",
             "clip_grad_norm_ and weight decay take no sparse gradients"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html",
)  # fmt: skip
