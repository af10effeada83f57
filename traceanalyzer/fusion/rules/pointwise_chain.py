"""Seen: element-wise operators and reductions, each a kernel of its own, where each reads what one before
it has written.

Instead: one kernel for all of them, as `torch.compile` generates it for the module that holds them.

Saves: writing every tensor in between and reading it again; and one launch for each operator but one.

When not: the module branches on the values of its tensors, or breaks into many graphs for another reason
(`TORCH_LOGS=graph_breaks` names them).

Left out: code that is compiled already; the optimizer's step and other work outside of the model; what
operators of other libraries do inside; complex numbers, for which the compiler generates no code. Where the
step waits for the host rather than for kernels, the report says so and states no share of the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Every region that no other rule describes better."""
    in_modules = any(node.module for node in graph.nodes)
    for match in chains(graph, free, _two_read):
        named = replace(match, holds=_norm(graph, match.nodes))
        outside = in_modules and not any(node.module for node in match.nodes)
        yield replace(named, title=_TITLE_OUTSIDE, action=_OUTSIDE, snippet=_FUNCTION) if outside else named


def _two_read(region: Region) -> bool:
    """At least two that read something, or one and what is proved to be filled for it: zeros that an operator
    fills its result with are its own."""
    filled = {edge.producer for edge in region.edges if edge.tier == "T1"} & region.inside
    return sum(node.place in filled or bool(node.cost and node.cost.read_bytes) for node in region.nodes) > 1


def _norm(graph: StepGraph, nodes: Sequence[Node]) -> str:
    """`a layer norm`: what is normalized in the chain, by one operator or by several; "" where nothing is."""
    for node in nodes:
        name = _NORMS.get(node.name.removesuffix("_backward"))
        if name is not None:
            return name
        if node.name == "rsqrt" and "aten::rms_norm" in graph.scopes(node):
            return "an RMS norm"
    root = any(node.name == "rsqrt" for node in nodes)
    return "a norm that is written out" if root and any(node.reduced for node in nodes) else ""


_NORMS = {
    "native_layer_norm": "a layer norm", "_fused_rms_norm": "an RMS norm",
    "native_group_norm": "a group norm", "native_batch_norm": "a batch norm",
}  # fmt: skip

_TITLE_OUTSIDE = "Element-wise chains outside of all modules run as separate kernels"
_OUTSIDE = "Compile the function that holds the chains: compiling the model does not reach it."
_FUNCTION = "compute_loss = torch.compile(compute_loss)"

RULE = Rule(
    "pointwise_chain", __doc__ or "", find,
    title="Element-wise chains run as separate kernels",
    action="Compile the module that holds the chains{, module}; the whole model where it compiles.",
    snippet="{module} = torch.compile({module})",
    caveats=("other input shapes are compiled anew; dynamic=True compiles for all sizes at once",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
