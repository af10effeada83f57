"""Seen: the host waits for the device inside the step (`.item()`, `.nonzero()`, copies to the host), and the
device then waits for the host.

Instead: leave the value on the device; print or test it every so many steps; copy with
`non_blocking=True`; drop `torch.cuda.synchronize()`.

Saves: at most the time in which the device has nothing to do after such a wait.

When not: the value decides what is computed next.

Left out: `.item()` of a tensor on the CPU, which waits for nothing; waits that take less than 2 % of the
window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from traceanalyzer.fusion.rules.base import Match, Rule, idle_per_step, wait_evidence
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.trace import OpKind

_SHARE = 0.02  # of the window
_NAMED = 3


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where waits are a visible part of the window."""
    ns, share = idle_per_step(graph, "synchronisation")
    if not graph.on_gpu or share < _SHARE:
        return
    evidence = wait_evidence(ns, share)
    callers = waits(graph, graph.step.start_ns, graph.step.end_ns)
    if callers:
        evidence += f"; per step: {callers}"
    yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=evidence, where="the whole step")


def waits(graph: StepGraph, start_ns: int, end_ns: int) -> str:
    """The most frequent waits that begin in this time, such as `3 aten::item, 1 aten::nonzero`; or ""."""
    callers = _callers(graph, start_ns, end_ns).most_common(_NAMED)
    return ", ".join(f"{count} {name}" for name, count in callers)


def _callers(graph: StepGraph, start_ns: int, end_ns: int) -> Counter[str]:
    """Outermost operators that wait for the device; the call itself where no operator does."""
    trace, launches = graph.trace, graph.trace.launches
    inside = (launches.start_ns >= start_ns) & (launches.start_ns < end_ns)
    callers: Counter[str] = Counter()
    for row in np.flatnonzero(inside).tolist():
        name = trace.names[launches.name[row]]
        if "Synchronize" in name:
            callers[_outermost(graph, int(launches.thread[row]), int(launches.start_ns[row])) or name] += 1
    return callers


def _outermost(graph: StepGraph, thread: int, moment_ns: int) -> str:
    """Name of the outermost operator that is open at this moment; "" where none is."""
    ops = graph.trace.ops  # by thread and start
    first, last = np.searchsorted(ops.thread, [thread, thread + 1])
    row = int(first + np.searchsorted(ops.start_ns[first:last], moment_ns, side="right")) - 1
    outermost = ""
    while row >= first:
        if ops.kind[row] == OpKind.OP and ops.end_ns[row] > moment_ns:
            outermost = graph.trace.names[ops.name[row]]
        row = int(ops.parent[row])
    return outermost


RULE = Rule(
    "synchronisation", __doc__ or "", find,
    title="The host waits for the device inside the step",
    action="Keep values on the device; read the loss every so many steps only.",
    snippet="total += loss.detach()  # instead of loss.item()",
    caveats=("where the value decides what is computed next, the wait must stay",),
    docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)  # fmt: skip
