"""Seen: an activation alone behind a product: it reads what the product has just written.

Instead: `torch.compile(mode="max-autotune")`, whose generated products apply the activation before they
write.

Saves: in inference the activation's read and write; in training its read, for its input is kept for
backward. A generated product may be slower than the library's: the saving can be nothing.

When not: the library's product is much faster than a generated one, as for large ones on recent devices.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band

_ACTIVATIONS = ("gelu", "relu", "silu", "clamp_min", "leaky_relu", "hardswish", "sigmoid", "tanh")
_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each activation that is known to read a product's result, or likely to."""
    for node in graph.nodes:
        if free(node) and node.name in _ACTIVATIONS and node.phase != "backward":
            producers = {graph.nodes[edge.producer].name for edge in graph.into.get(node.place, ())}
            if producers & set(_PRODUCTS):
                yield Match((node,), "T3", saved=Band(0.0, 0.6 * node.time_ns, 0.8 * node.time_ns))


RULE = Rule(
    "activation_epilogue", __doc__ or "", find,
    title="Activations read what a product has just written",
    action="Let a compiler apply them inside the product: mode=\"max-autotune\".",
    snippet="{module} = torch.compile({module}, mode=\"max-autotune\")",
    caveats=("a generated product can be slower than the library's: measure",),
    docs=COMPILE_DOCS,
)  # fmt: skip
