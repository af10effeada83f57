"""Which operator a backward pass differentiates, by autograd's sequence numbers."""

from __future__ import annotations

from traceanalyzer.fusion.step_graph import Node, StepGraph


def forward_of(graph: StepGraph, node: Node) -> int | None:
    """Row in Trace.ops of the operator whose gradient `node` computes; None where that is not known."""
    forward = graph.trace.ops.forward
    return next((int(forward[row]) for row in graph.above(node) if forward[row] >= 0), None)
