"""Which operators a backward pass differentiates, by autograd's sequence numbers."""

from __future__ import annotations

from traceanalyzer.fusion.step_graph import Node, StepGraph


def forward_of(graph: StepGraph, node: Node) -> int | None:
    """Row in Trace.ops of the operator whose gradient `node` computes; None where that is not known."""
    forward = graph.trace.ops.forward
    return next((int(forward[row]) for row in graph.above(node) if forward[row] >= 0), None)


def is_differentiated(graph: StepGraph, node: Node) -> bool:
    """Whether a backward pass was recorded that computes the gradient of what `node` takes."""
    rows = graph.once(_differentiated)
    return node.row in rows or any(row in rows for row in graph.above(node))


def _differentiated(graph: StepGraph) -> frozenset[int]:
    """Rows in Trace.ops of operators that have a backward node."""
    forward = graph.trace.ops.forward
    return frozenset(forward[forward >= 0].tolist())
