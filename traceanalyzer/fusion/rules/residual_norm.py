"""Seen: a residual addition followed by a layer, group or RMS normalization; in backward the other way round.

Instead: one kernel that adds and normalizes, as `torch.compile` generates it, or a fused layer of Liger,
Apex or TransformerEngine.

Saves: reading the sum again. The sum itself is still written, for the next residual needs it.

When not: the sum does not fit the normalization's rows; the library's layer rounds differently.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.step_graph import Free, StepGraph

_NORMS = ("native_layer_norm", "native_group_norm", "_fused_rms_norm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Regions with a normalization in them and an addition, and nothing beside but casts and dropout."""
    yield from chains(graph, free, _wanted)


def _wanted(region: Region) -> bool:
    norms = [name for name in region.names if name.removesuffix("_backward") in _NORMS]
    return bool(norms) and "add" in region.names


RULE = Rule(
    "residual_norm", __doc__ or "", find,
    title="Residual additions and normalizations run as separate kernels",
    action="Compile the block that holds both: the generated kernel adds, normalizes and writes both results "
    "in one pass.",
    snippet="{module} = torch.compile({module})",
    caveats=("the sum is still written: only reading it again is saved",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
