"""Seen: several matmuls of one input with weights of their own, as the projections to queries, keys and
values are written.

Instead: one matmul with the weights side by side, its result split.

Saves: reading the input again for every matmul but one, a launch each, and more: one larger matmul fills
the device better than several small ones. How much of that there is to save no roof tells: no time is
predicted.

When not: the weights are distributed over several devices in a way that side by side they no longer are.

Left out: matmuls that come near their roof, for they fill the device; inputs that are not proved to be one
tensor; weights of other types, or of which some are quantized; weights of which only some are trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod

from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.rules.matmuls import OPERANDS, has_narrow_weights, operand_shapes, sizes
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import ITEMSIZE

_NAMES = ("mm", "addmm")
_LATER = ("backward", "optimizer", "recompute")
_FULL = 0.6  # of its roof: a matmul that reaches so much has nothing to save
_STEP_SHARE = 0.02  # of the step, that such matmuls take


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each tensor that is proved to be the input of several such matmuls outside of backward."""
    if has_narrow_weights(graph):
        return
    groups: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        if free(node) and node.name in _NAMES and node.phase not in _LATER and not _fills(graph, node):
            given = graph.argument_tensors.get((node.place, OPERANDS[node.name][0]))
            if given is not None:
                groups.setdefault(given, []).append(node)
    alike = [
        nodes for nodes in groups.values() if _have_own_weights(graph, nodes) and _trained_alike(graph, nodes)
    ]  # fmt: skip
    if sum(node.time_ns for nodes in alike for node in nodes) >= _STEP_SHARE * graph.step_ns:
        for nodes in alike:
            again = (len(nodes) - 1) * _bytes(nodes[0])
            evidence = " and ".join(sizes(node) for node in nodes) + " read the same tensor"
            yield Match(tuple(nodes), "T1", bytes_saved=again, evidence=evidence, claims=False)


def _have_own_weights(graph: StepGraph, nodes: Sequence[Node]) -> bool:
    """Several of one type, of which no two are known to be the same."""
    weights = [graph.argument_tensors.get((node.place, OPERANDS[node.name][1])) for node in nodes]
    known = [weight for weight in weights if weight is not None]
    kinds = {node.call.dtype(OPERANDS[node.name][1]) for node in nodes}
    return len(nodes) > 1 and len(set(known)) == len(known) and len(kinds) == 1


def _trained_alike(graph: StepGraph, nodes: Sequence[Node]) -> bool:
    """Whether backward has as many matmuls for each: a weight that is not trained has no gradient."""
    gradients = graph.once(_gradient_matmuls)
    counts = {
        sum(gradients[row] for row in (node.row, *graph.above(node)) if row in gradients) for node in nodes
    }  # fmt: skip
    return len(counts) == 1


def _gradient_matmuls(graph: StepGraph) -> Counter[int]:
    """How many matmuls of backward passes differentiate an operator, by its row in Trace.ops."""
    backward = (node for node in graph.nodes if node.phase == "backward" and node.name in OPERANDS)
    rows = (forward_of(graph, node) for node in backward)
    return Counter(row for row in rows if row is not None)


def _fills(graph: StepGraph, node: Node) -> bool:
    """Whether it reaches so much of its roof that a larger matmul would reach no more."""
    device, cost = graph.device, node.cost
    peak = device.peak(cost.engine, cost.precision) if cost else None
    if cost is None or not peak or not device.bandwidth_bytes_per_s:
        return True
    roof_ns = 1e9 * max(cost.flops / peak, cost.bytes / device.bandwidth_bytes_per_s)
    return roof_ns >= _FULL * node.time_ns


def _bytes(node: Node) -> int:
    shapes, kind = operand_shapes(node), node.call.dtype(OPERANDS[node.name][0])
    return prod(shapes[0]) * ITEMSIZE.get(kind or "", 0) if shapes else 0


RULE = Rule(
    "merged_linear", __doc__ or "", find,
    title="Several matmuls of one input run one by one",
    action="Make one matmul of several: one linear layer with the weights side by side, its result split.",
    snippet="a, b = both(x).split(widths, dim=-1)  # both: one linear layer, its weights below each other",
    caveats=("no time is predicted: what a larger matmul reaches of the peak no roof tells",
             "weights of a checkpoint have to be joined once, when it is loaded"),
    needs=("tensors", "shapes"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html",
)  # fmt: skip
