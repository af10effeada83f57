"""Seen: dropout, and element-wise operators around it, each a kernel of its own.

Instead: `torch.compile` for the module that holds them: the mask is drawn in the same kernel, and drawn
again in backward instead of being stored.

Saves: the mask, written and read; and a pass over the tensor for each operator that joins.

When not: results must repeat an earlier run's random numbers bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.scene import Node, Scene

_DROPOUT = {"native_dropout", "bernoulli", "native_dropout_backward", "_fused_dropout"}


def find(scene: Scene, free: Callable[[Node], bool]) -> Iterator[Match]:
    """Regions with a dropout in them."""
    yield from chains(scene, free, lambda region: bool(_DROPOUT & set(region.names)))


RULE = Rule(
    "dropout_chain", __doc__ or "", find,
    title="Dropout and its neighbours run as separate kernels",
    action="Compile the module that holds them.",
    snippet="{module} = torch.compile({module})",
    caveats=("other random numbers are drawn than in eager mode",),
    docs=COMPILE_DOCS,
    instead="compiled",
    module=True,
    order=59,
)  # fmt: skip
