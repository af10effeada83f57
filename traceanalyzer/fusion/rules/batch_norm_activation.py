"""Seen: in training, a batch or group normalization followed by an activation, and perhaps an addition.

Instead: `torch.compile` for the block: activation and addition join the pass that normalizes.

Saves: a read and a write of the activation for each operator that joins.

When not: in inference, where batch normalization is folded into the convolution altogether.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.step_graph import Free, StepGraph

_JOINING = (
    "clamp_min", "relu", "silu", "gelu", "add", "threshold", "hardswish", "sigmoid", "mul", "leaky_relu",
)  # fmt: skip


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Regions of such a normalization and element-wise operators, forward or backward."""
    yield from chains(graph, free, _wanted)


def _wanted(region: Region) -> bool:
    names = [name.removesuffix("_backward") for name in region.names]
    norms = [name for name in names if "batch_norm" in name or "group_norm" in name]
    return bool(norms) and all(name in _JOINING or name in norms for name in names)


RULE = Rule(
    "batch_norm_activation", __doc__ or "", find,
    title="Normalizations of images and their activations run as separate kernels",
    action="Compile the block that holds them.",
    snippet="{module} = torch.compile({module})",
    caveats=("a generated batch normalization can be slower than the library's: measure the block",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
