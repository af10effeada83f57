"""Seen: an activation alone behind a matmul: it reads what the matmul has just written.

Instead: `torch.compile(mode="max-autotune")`, whose generated matmuls apply the activation before they
write.

Saves: in inference the activation's read and write; in training its read, for its input is kept for
backward. A generated matmul may be slower than the library's: the saving can be nothing.

When not: the library's matmul is much faster than a generated one, as for large ones on recent devices.

Left out: code that is compiled already; an activation that no matmul is known or likely to feed; an NVIDIA
GPU of fewer than 68 multiprocessors, for which the compiler generates no matmuls; a CPU, where it generates
none for training or for weights that may change, and steps become slower.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule
from traceanalyzer.fusion.rules.matmuls import is_trained
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band

_ACTIVATIONS = ("gelu", "relu", "silu", "clamp_min", "leaky_relu", "hardswish", "sigmoid", "tanh")
_MULTIPROCESSORS = 68
_MATMULS = ("addmm", "mm", "bmm", "baddbmm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each activation that is known to read a matmul's result, or likely to."""
    if not graph.on_gpu or _is_small(graph):
        return
    mid, high = (0.3, 0.5) if is_trained(graph) else (0.6, 0.8)
    for node in graph.nodes:
        if free(node) and node.name in _ACTIVATIONS and node.phase != "backward":
            producers = {graph.nodes[edge.producer].name for edge in graph.into.get(node.place, ())}
            if producers & set(_MATMULS):
                yield Match((node,), "T3", saved=Band(0.0, mid * node.time_ns, high * node.time_ns))


def _is_small(graph: StepGraph) -> bool:
    """Whether the compiler refuses to generate matmuls for it: torch/_inductor/utils.py, is_big_gpu."""
    count = graph.device.multiprocessors
    return not graph.trace.amd and count is not None and count < _MULTIPROCESSORS


RULE = Rule(
    "activation_epilogue", __doc__ or "", find,
    title="Activations read what a matmul has just written",
    action="Let a compiler apply activations inside the matmul{ in module}: mode=\"max-autotune\".",
    snippet="{module} = torch.compile({module}, mode=\"max-autotune\")",
    caveats=("a generated matmul can be slower than the library's: measure",),
    needs=("gpu", "shapes"),
    docs=COMPILE_DOCS,
)  # fmt: skip
