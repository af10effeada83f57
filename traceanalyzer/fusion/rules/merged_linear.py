"""Seen: several products of one input with weights of their own, as the projections to queries, keys and
values are written.

Instead: one product with the weights side by side, its result split.

Saves: reading the input again for every product but one, a launch each, and more: one larger product fills
the device better than several small ones. How much of that there is to win no roof tells: no time is
predicted.

When not: the products are large enough to fill the device, the weights are quantized or shared out over
devices apart, or only some of them are trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.cost.tensors import itemsize, numel, shape
from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_INPUT = {"mm": 0, "addmm": 1}  # which argument the input is
_LATER = ("backward", "optimizer", "recompute")
_FULL = 0.6  # of its roof: a product that reaches so much has nothing to win
_SHARE = 0.02  # of the step, that such products take


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each tensor that is proved to be the input of several such products outside of backward."""
    groups: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        if free(node) and node.name in _INPUT and node.phase not in _LATER and not _fills(graph, node):
            given = graph.argument_tensors.get((node.place, _INPUT[node.name]))
            if given is not None:
                groups.setdefault(given, []).append(node)
    found = [nodes for nodes in groups.values() if len(nodes) > 1]
    if sum(node.time_ns for nodes in found for node in nodes) >= _SHARE * graph.step_ns:
        for nodes in found:
            again = (len(nodes) - 1) * _bytes(nodes[0])
            told = " and ".join(_said(node) for node in nodes) + " read the same tensor"
            yield Match(tuple(nodes), "T1", bytes_saved=again, evidence=told)


def _fills(graph: StepGraph, node: Node) -> bool:
    """Whether it reaches so much of its roof that a larger product would reach no more."""
    device, cost = graph.device, node.cost
    peak = device.peak(cost.engine, cost.precision) if cost else None
    if cost is None or not peak or not device.bandwidth_bytes_per_s:
        return True
    roof_ns = 1e9 * max(cost.flops / peak, cost.bytes / device.bandwidth_bytes_per_s)
    return roof_ns >= _FULL * node.time_ns


def _bytes(node: Node) -> int:
    return numel(shape(node.call, _INPUT[node.name])) * itemsize(node.call, _INPUT[node.name])


def _said(node: Node) -> str:
    first = _INPUT[node.name]
    return f"{node.name} {list(shape(node.call, first))} × {list(shape(node.call, first + 1))}"


RULE = Rule(
    "merged_linear", __doc__ or "", find,
    title="Several products of one input run one by one",
    action="Make one product of them: one linear layer with the weights side by side, its result split.",
    snippet="a, b = both(x).split(widths, dim=-1)  # both: one linear layer, its weights below each other",
    caveats=("no time is predicted: what a larger product reaches of the peak no roof tells",
             "weights of a checkpoint have to be joined once, when it is loaded"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html",
)  # fmt: skip
