"""Seen: a gated feed-forward layer: the activation of one matmul's result, multiplied by the result of
another matmul. SiLU makes it SwiGLU, GELU GeGLU, ReLU ReGLU, a sigmoid GLU.

Instead: `torch.compile`, or one kernel of a library (Liger's SwiGLU and GeGLU, `F.glu`); and one matmul for
gate and input together.

Saves: forward two of five passes over the wide activation, backward four of nine. Beside the matmuls this is
one or two percent of the layer: it saves memory more than time.

When not: gate and input keep layers of their own, as a checkpoint or an adapter may ask for: then only the
activation and the multiplication become one kernel.

Left out: an activation that is multiplied by its own input, or by a number or a vector; a sigmoid next to a
multiplication where it is unknown which tensors are multiplied; gates that are one kernel already. One
matmul for both is not suggested where weights are quantized.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from traceanalyzer.fusion.evidence.dataflow import Tier
from traceanalyzer.fusion.regions import Region, region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains, compilable, generated
from traceanalyzer.fusion.rules.matmuls import has_narrow_weights
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph


class _Gate(msgspec.Struct, frozen=True):
    """What a gate with this activation is called, and what computes it in one kernel."""

    name: str
    written: str  # in Python
    fused: str  # "": nothing that is in common use


_GATES = {
    "silu": _Gate("SwiGLU", "F.silu(gate) * x", "a fused SwiGLU"),
    "gelu": _Gate("GeGLU", "F.gelu(gate) * x", "a fused GeGLU"),
    "relu": _Gate("ReGLU", "F.relu(gate) * x", ""),
    "sigmoid": _Gate("GLU", "torch.sigmoid(gate) * x", "F.glu"),
}
_ACTIVATIONS = tuple(_GATES)
_LAYERS = ("mm", "addmm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """An activation and a multiplication of its result, and nothing else; a layer may lie in between."""
    separate = has_narrow_weights(graph)
    claimed: set[int] = set()
    for match in _matches(graph, free):
        places = {node.place for node in match.nodes}
        if claimed.isdisjoint(places):  # of two products of one gate the first has it
            claimed |= places
            yield _named(match, separate)


def _named(match: Match, separate: bool) -> Match:
    """The match in the words of its own gate; `separate`: gate and input keep a matmul each."""
    names = (node.name.removesuffix("_backward") for node in match.nodes)
    gate = next(_GATES[name] for name in names if name in _GATES)
    instead = f", or use {gate.fused}" if gate.fused else ""
    return replace(
        match,
        title=f"A gated activation ({gate.name}) runs as separate kernels",
        action=f"Compile the feed-forward module{_NAME}{instead}{'' if separate else _TOGETHER}.",
        snippet=f"# {gate.name}: {gate.written} in one kernel\n{_SNIPPET}",
    )


def _matches(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Neighbors first, then what a layer lies between; one gate may be in several."""
    yield from chains(graph, free, lambda joined: _gated(graph, joined))
    reached = compilable(graph, free)
    for node in graph.nodes:
        if node.name == "mul" and reached(node) and node.phase != "backward":
            gate = _gate(graph, node)
            if gate is not None and reached(gate[0]):
                yield _apart(graph, gate[0], node, gate[1])


def _gated(graph: StepGraph, joined: Region) -> bool:
    """Neighbors: an activation first, then nothing but multiplications, one of them of two tensors."""
    names = [name.removesuffix("_backward") for name in joined.names]
    if names[0] not in _ACTIVATIONS or not set(names) <= {*_ACTIVATIONS, "mul"}:
        return False
    activation = joined.nodes[0]
    products = [node for node in joined.nodes if node.name == "mul" and _same_size(activation, node)]
    known = [product for product in products if _factors_known(graph, activation, product)]
    if activation.name == "sigmoid" and not known:
        return False
    return bool(products) and not any(_by_its_own_input(graph, activation, product) for product in known)


def _same_size(activation: Node, product: Node) -> bool:
    """Whether both factors have the activation's dims."""
    dims = activation.call.dims(0)
    return bool(dims) and dims == product.call.dims(0) == product.call.dims(1)


def _factors_known(graph: StepGraph, activation: Node, product: Node) -> bool:
    arguments = [(activation.place, 0), (product.place, 0), (product.place, 1)]
    return all(argument in graph.argument_tensors for argument in arguments)


def _by_its_own_input(graph: StepGraph, activation: Node, product: Node) -> bool:
    """Whether `x * f(x)` is multiplied: an activation written out, and no gate."""
    given = graph.argument_tensors.get((activation.place, 0))
    factors = [graph.argument_tensors.get((product.place, i)) for i in (0, 1)]
    return given is not None and given in factors


def _gate(graph: StepGraph, product: Node) -> tuple[Node, Tier] | None:
    """The activation whose result is one factor: as is known, or as the order of operators suggests.

    Only where a layer lies in between: neighbors are a chain, which may have more members.
    """
    for edge in graph.into.get(product.place, ()):
        maker = graph.nodes[edge.producer]
        between = graph.nodes[maker.place + 1 : product.place]
        layer = any(node.name in _LAYERS for node in between)
        gates = maker.name in _ACTIVATIONS and maker.phase == product.phase and _same_size(maker, product)
        if layer and gates and not _by_its_own_input(graph, maker, product):
            return maker, edge.tier
    before = graph.nodes[max(0, product.place - 2) : product.place]
    if graph.executed or len(before) < 2 or before[1].name not in _LAYERS:
        return None
    alike = before[0].name in _ACTIVATIONS and _same_size(before[0], product)
    return (before[0], "T3") if alike and before[0].phase == product.phase else None


def _apart(graph: StepGraph, gate: Node, product: Node, tier: Tier) -> Match:
    """One kernel for both, where the product is; the gate's result is kept for a backward pass."""
    nodes = (gate, product)
    moved = region(graph, nodes).bytes_after
    if tier != "T1" and gate.cost is not None:
        trained = any(node.phase == "backward" for node in graph.nodes)
        written = gate.cost.write_bytes
        moved = sum(node.bytes for node in nodes) - written - (0 if trained else written)
    after = generated(graph, nodes, moved)
    return Match(nodes, tier, after, bytes_saved=sum(node.bytes for node in nodes) - moved)


_TOGETHER = "; one matmul for gate and input together saves a pass over their input too"
_NAME = "{, module}"
_SNIPPET = "{module} = torch.compile({module})"

RULE = Rule(
    "gated_activation", __doc__ or "", find,
    title="A gated activation runs as separate kernels",
    action=f"Compile the feed-forward module{_NAME}{_TOGETHER}.",
    snippet=_SNIPPET,
    caveats=("a small part of a layer's time: it saves memory as much as time",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
