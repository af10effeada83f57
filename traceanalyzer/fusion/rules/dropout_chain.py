"""Seen: dropout and element-wise operators around it, each a kernel of its own.

Instead: `torch.compile` for the module that holds them: the mask is drawn in the same kernel, and drawn
again in backward instead of being stored.

Saves: writing and reading the mask; and one pass over the tensor for each operator that joins.

When not: results must repeat an earlier run's random numbers bit for bit.

Left out: a dropout with p = 0 or outside of training, which drops nothing; one that nothing joins; one inside
a fused attention kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from traceanalyzer.cost.tensors import is_true
from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import duration

_WITH_MASK = ("native_dropout", "_fused_dropout", "native_dropout_backward")
_CALL = re.compile(r"aten::(?:feature_|alpha_|feature_alpha_)?dropout_?")
_STEP_SHARE = 0.05  # of the step, from which on its title says what dropout costs
_TITLE = "Dropout and its neighbors run as separate kernels"
_P, _TRAIN = 1, 2  # arguments of native_dropout


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Regions with a dropout in them that drops something."""
    for match in chains(graph, free, _with_dropout):
        yield replace(match, title=graph.once(_priced_title))


def _priced_title(graph: StepGraph) -> str:
    """With what all dropout of the step costs, where that is much; "" where it is not.

    Counted is what drops, forward and backward, and nothing of its neighbors.
    """
    ns = sum(node.time_ns for node in graph.nodes if _is_dropout(graph, node))
    return f"{_TITLE}; dropout costs {duration(ns)} per step" if ns >= _STEP_SHARE * graph.step_ns else ""


def _is_dropout(graph: StepGraph, node: Node) -> bool:
    """One of its own operators, one inside a call of it, or the gradient of such a one."""
    if node.name in _WITH_MASK:
        return not _drops_nothing(node)
    if not graph.once(_calls_dropout):
        return False
    if node.phase != "backward":
        return any(map(_CALL.fullmatch, graph.scopes(node)))
    row, ops = forward_of(graph, node), graph.trace.ops
    while row is not None and row >= 0:
        if _CALL.fullmatch(graph.trace.names[ops.name[row]]):
            return True
        row = int(ops.parent[row])
    return False


def _calls_dropout(graph: StepGraph) -> bool:
    return graph.has_scope(_CALL.fullmatch)


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
    title=_TITLE,
    action="Compile the module that holds the dropout{, module}.",
    snippet="{module} = torch.compile({module})",
    caveats=("other random numbers are drawn than in eager mode",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
