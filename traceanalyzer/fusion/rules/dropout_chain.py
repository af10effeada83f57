"""Seen: dropout, and element-wise operators around it, each a kernel of its own.

Instead: `torch.compile` for the module that holds them: the mask is drawn in the same kernel, and drawn
again in backward instead of being stored.

Saves: the mask, written and read; and a pass over the tensor for each operator that joins.

When not: results must repeat an earlier run's random numbers bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.step_graph import Free, StepGraph

_DROPOUT = {"native_dropout", "bernoulli", "native_dropout_backward", "_fused_dropout"}


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Regions with a dropout in them."""
    yield from chains(graph, free, lambda region: bool(_DROPOUT & set(region.names)))


RULE = Rule(
    "dropout_chain", __doc__ or "", find,
    title="Dropout and its neighbours run as separate kernels",
    action="Compile the module that holds them.",
    snippet="{module} = torch.compile({module})",
    caveats=("other random numbers are drawn than in eager mode",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
