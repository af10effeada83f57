"""Seen: a gated feed-forward layer (SwiGLU, GeGLU): an activation of one product, multiplied with another.

Instead: `torch.compile`, or Liger's SwiGLU; and one product for gate and input together.

Saves: forward two of five passes over the wide activation, backward four of nine. Beside the products this
is one or two percent of the layer: its worth is memory more than time.

When not: the two products are shared out over several devices; the weights are quantized apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.evidence.dataflow import Tier
from traceanalyzer.fusion.regions import Region, region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains, generated
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_ACTIVATIONS = ("silu", "gelu", "sigmoid", "relu")
_LAYERS = ("mm", "addmm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """An activation and a product of its result, and nothing else; a layer may lie in between."""
    claimed: set[int] = set()
    for match in chains(graph, free, _wanted):
        claimed |= {node.place for node in match.nodes}
        yield match
    for node in graph.nodes:
        if free(node) and node.place not in claimed and node.name == "mul" and node.phase != "backward":
            gate = _gate(graph, node)
            if gate is not None and free(gate[0]) and gate[0].place not in claimed:
                yield _apart(graph, gate[0], node, gate[1])


def _gate(graph: StepGraph, product: Node) -> tuple[Node, Tier] | None:
    """The activation whose result is one factor: as is known, or as the order of operators tells.

    Only where a layer lies in between: neighbours are a chain, which may have more members.
    """
    for edge in graph.into.get(product.place, ()):
        maker = graph.nodes[edge.producer]
        between = graph.nodes[maker.place + 1 : product.place]
        layer = any(node.name in _LAYERS for node in between)
        if layer and maker.name in _ACTIVATIONS and maker.phase == product.phase:
            return maker, edge.tier
    before = [graph.nodes[at] for at in (product.place - 2, product.place - 1) if at >= 0]
    if graph.executed or len(before) < 2 or before[1].name not in _LAYERS:
        return None
    alike = before[0].name in _ACTIVATIONS and before[0].call.shapes[:1] == product.call.shapes[:1]
    return (before[0], "T3") if alike and before[0].phase == product.phase else None


def _apart(graph: StepGraph, gate: Node, product: Node, tier: Tier) -> Match:
    """One kernel for both, where the product is; the gate's result is kept for a backward pass."""
    nodes = (gate, product)
    found = region(graph, nodes)
    moved = found.bytes_after
    if tier != "T1" and gate.cost is not None:
        trained = any(node.phase == "backward" for node in graph.nodes)
        written = gate.cost.write_bytes
        moved = sum(node.bytes for node in nodes) - written - (0 if trained else written)
    after = generated(graph, nodes, moved)
    return Match(nodes, tier, after, bytes_saved=sum(node.bytes for node in nodes) - moved)


def _wanted(found: Region) -> bool:
    names = [name.removesuffix("_backward") for name in found.names]
    return names[0] in _ACTIVATIONS and "mul" in names and set(names) <= {*_ACTIVATIONS, "mul"}


RULE = Rule(
    "gated_activation", __doc__ or "", find,
    title="A gated activation runs as separate kernels",
    action="Compile the feed-forward module, or take a fused SwiGLU; one product for gate and input together "
    "saves a pass over their input too.",
    snippet="{module} = torch.compile({module})",
    caveats=("a small part of a layer's time: its worth is memory as much as time",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
