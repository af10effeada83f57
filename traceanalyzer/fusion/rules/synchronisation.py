"""Seen: the host waits for the device inside the step (`.item()`, `.nonzero()`, copies to the host), and the
device then waits for the host.

Instead: leave the value on the device; print or test it every so many steps; copy with
`non_blocking=True`.

Saves: at most the time in which the device has nothing to do after such a wait.

When not: the value decides what is computed next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, told_wait, waited
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band

_SHARE = 0.02  # of the window
_WAITING = ("aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where waits are a visible part of the window."""
    ns, share = waited(graph, "synchronisation")
    if not graph.on_gpu or share < _SHARE:
        return
    told = told_wait(ns, share)
    called = _called(graph)
    if called:
        told += "; in a step are " + ", ".join(f"{count} {name}" for name, count in called.most_common(3))
    yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=told, where="the whole step")


def _called(graph: StepGraph) -> Counter[str]:
    ops, step = graph.trace.ops, graph.step
    first, last = step.start_ns, step.end_ns
    inside = (ops.start_ns >= first) & (ops.start_ns < last)
    names = [graph.trace.names[row] for row in ops.name[inside].tolist()]
    return Counter(name for name in names if name in _WAITING)


RULE = Rule(
    "synchronisation", __doc__ or "", find,
    title="The host waits for the device inside the step",
    action="Keep values on the device; look at the loss every so many steps only.",
    snippet="total += loss.detach()  # instead of loss.item()",
    caveats=("where the value decides what is computed next, the wait cannot go",),
    docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)  # fmt: skip
