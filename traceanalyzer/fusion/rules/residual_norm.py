"""Seen: a residual addition followed by a layer, group or RMS normalization; in backward the other way round.

Instead: one kernel that adds and normalizes, as `torch.compile` generates it, or a fused layer of Liger,
Apex or TransformerEngine.

Saves: reading the sum again. The sum itself is still written, because the next residual addition reads it.

When not: the layer of a library rounds differently.

Left out: a sum that does not have the normalization's rows; the addition of a vector or a scalar, which is no
residual; a library's operator that adds and normalizes already.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_NORMS = ("native_layer_norm", "native_group_norm", "_fused_rms_norm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Regions with a normalization in them and an addition of two tensors of one size."""
    yield from chains(graph, free, _norm_and_residual)


def _norm_and_residual(region: Region) -> bool:
    norms = [name for name in region.names if name.removesuffix("_backward") in _NORMS]
    return bool(norms) and any(_of_two_tensors(node) for node in region.nodes)


def _of_two_tensors(node: Node) -> bool:
    return node.name == "add" and bool(node.call.dims(0)) and node.call.dims(0) == node.call.dims(1)


RULE = Rule(
    "residual_norm", __doc__ or "", find,
    title="Residual additions and normalizations run as separate kernels",
    action="Compile the block that holds both{, module}: the generated kernel adds, normalizes and writes "
    "both results in one pass.",
    snippet="{module} = torch.compile({module})",
    caveats=("the sum is still written: only reading it again is saved",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
