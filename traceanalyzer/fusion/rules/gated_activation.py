"""Seen: a gated feed-forward layer (SwiGLU, GeGLU): an activation of one product, multiplied with another.

Instead: `torch.compile`, or Liger's SwiGLU; and one product for gate and input together.

Saves: forward two of five passes over the wide activation, backward four of nine. Beside the products this
is one or two percent of the layer: its worth is memory more than time.

When not: the two products are shared out over several devices; the weights are quantized apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.scene import Node, Scene

_ACTIVATIONS = ("silu", "gelu", "sigmoid", "relu")


def find(scene: Scene, free: Callable[[Node], bool]) -> Iterator[Match]:
    """An activation and a product of its result, and nothing else."""
    yield from chains(scene, free, _wanted)


def _wanted(region: Region) -> bool:
    names = [name.removesuffix("_backward") for name in region.names]
    return names[0] in _ACTIVATIONS and "mul" in names and set(names) <= {*_ACTIVATIONS, "mul"}


RULE = Rule(
    "gated_activation", __doc__ or "", find,
    title="A gated activation runs as separate kernels",
    action="Compile the feed-forward module, or take a fused SwiGLU; one product for gate and input together "
    "saves a pass over their input too.",
    snippet="{module} = torch.compile({module})",
    caveats=("a small part of a layer's time: its worth is memory as much as time",),
    docs=COMPILE_DOCS,
    instead="compiled",
    module=True,
    order=61,
)  # fmt: skip
