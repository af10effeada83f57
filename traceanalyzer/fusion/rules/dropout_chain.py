"""Seen: dropout and element-wise operators around it, each a kernel of its own.

Instead: `torch.compile` for the module that holds them: the mask is drawn in the same kernel, and drawn
again in backward instead of being stored.

Saves: writing and reading the mask; and one pass over the tensor for each operator that joins.

When not: results must repeat an earlier run's random numbers bit for bit.

Left out: a dropout with p = 0 or outside of training, which drops nothing; one that nothing joins; one inside
a fused attention kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.cost.tensors import is_true
from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_WITH_MASK = ("native_dropout", "_fused_dropout", "native_dropout_backward")
_P, _TRAIN = 1, 2  # arguments of native_dropout


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Regions with a dropout in them that drops something."""
    yield from chains(graph, free, _with_dropout)


def _with_dropout(region: Region) -> bool:
    """A dropout draws its mask itself, or multiplies by numbers that `bernoulli` has drawn."""
    drawn = "bernoulli" in region.names and "mul" in region.names
    return drawn or any(node.name in _WITH_MASK and not _drops_nothing(node) for node in region.nodes)


def _drops_nothing(node: Node) -> bool:
    if node.name != "native_dropout":
        return False
    p, train = node.call.value(_P), node.call.value(_TRAIN)
    return p in ("0", "0.", "0.0") or bool(train) and not is_true(train or "")


RULE = Rule(
    "dropout_chain", __doc__ or "", find,
    title="Dropout and its neighbors run as separate kernels",
    action="Compile the module that holds the dropout.",
    snippet="{module} = torch.compile({module})",
    caveats=("other random numbers are drawn than in eager mode",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
