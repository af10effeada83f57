"""A rebuilt forward pass with its backward pass, as autograd makes it from the same operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records.errors import UsageError
from traceanalyzer.verify.replay import Replay, told


def differentiating(graph: StepGraph, nodes: Sequence[Node]) -> list[Node]:
    """The backward operators whose gradients are those of these forward ones, by autograd's numbers."""
    parent = graph.trace.ops.parent
    rows = {row for node in nodes for row in (node.row, int(parent[node.row]))} - {-1}
    backward = (node for node in graph.nodes if node.phase == "backward")
    return [node for node in backward if forward_of(graph, node) in rows]


def differentiated(graph: StepGraph, match: Match) -> Match:
    """The forward operators whose gradients a match of the backward pass computes; any other as it is."""
    if not match.nodes or match.nodes[0].phase != "backward":
        return match
    rows = {forward_of(graph, node) for node in match.nodes}
    nodes = tuple(
        node for node in graph.nodes
        if node.phase == "forward" and (node.row in rows or not rows.isdisjoint(graph.above(node)))
    )  # fmt: skip
    if not nodes:
        raise UsageError("which forward pass it differentiates is not recorded", fix="verify another rule")
    return Match(nodes, match.tier)


def backward_matches(graph: StepGraph, match: Match, matches: Sequence[Match]) -> tuple[Match, ...]:
    """Those of `matches` that hold gradients of its operators; what adds up beside these has no number."""
    if not match.nodes or match.nodes[0].phase != "forward":
        return ()
    places = {node.place for node in differentiating(graph, match.nodes)}
    return tuple(
        each for each in matches
        if any(node.place in places for node in each.nodes)
    )  # fmt: skip


def trained(program: Replay) -> Replay:
    """Forward, and the gradients of all inputs that have one. UsageError where nothing has, or it fails."""
    import torch

    inputs = tuple(
        value if number in program.fixed else _leaf(value) for number, value in enumerate(program.inputs)
    )
    leaves = [value for value in inputs if _has_gradient(value)]
    with told("with gradients"), torch.enable_grad():
        wanted = [torch.ones_like(each) for each in _results(program.run(*inputs))]
    if not wanted:
        raise UsageError("no result of these operators has a gradient", fix="verify another rule")

    def run(*inputs: Any) -> Any:
        with torch.enable_grad():
            results = _results(program.run(*inputs))
            return torch.autograd.grad(results, leaves, wanted, allow_unused=True)

    return Replay(run, inputs)


def _leaf(value: Any) -> Any:
    return value.detach().requires_grad_() if _has_fractions(value) else value


def _has_fractions(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _has_gradient(value: Any) -> bool:
    return _has_fractions(value) and bool(value.requires_grad)


def _results(results: Any) -> list[Any]:
    return [
        each for each in (results if isinstance(results, tuple | list) else (results,)) if _has_gradient(each)
    ]
