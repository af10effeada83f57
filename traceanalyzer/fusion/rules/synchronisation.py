"""Seen: the host waits for the device inside the step (`.item()`, `.nonzero()`, copies to the host), and the
device then waits for the host.

Instead: leave the value on the device; print or test it every so many steps; copy with
`non_blocking=True`; drop `torch.cuda.synchronize()`.

Saves: at most the time in which the device has nothing to do while the host waits, and until it has launched
again; of the latter no more than the host had waited, for so far ahead it would have been.

When not: the value decides what is computed next.

Left out: `.item()` of a tensor on the CPU, which waits for nothing; waits that take less than 2 % of the
window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from traceanalyzer.fusion.idle_claims import claimed_idle, waiting_calls
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records.trace import Ids, Ints, OpKind

_WAIT_SHARE = 0.02  # of the window
_MAX_NAMES = 3


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where waits are a visible part of the window."""
    ns, share = claimed_idle(graph, "synchronisation")
    if not graph.on_gpu or share < _WAIT_SHARE:
        return
    evidence = wait_evidence(graph, ns, share)
    callers = waiting_operators(graph, graph.step.start_ns, graph.step.end_ns)
    if callers:
        evidence += f"; per step: {callers}"
    yield waiting(graph, ns, evidence)


def waiting_operators(graph: StepGraph, start_ns: int, end_ns: int) -> str:
    """The most frequent waits that begin in this time, such as `3 aten::item, 1 aten::nonzero`; or ""."""
    callers = _callers(graph, start_ns, end_ns).most_common(_MAX_NAMES)
    return ", ".join(f"{count} {name}" for name, count in callers)


def _callers(graph: StepGraph, start_ns: int, end_ns: int) -> Counter[str]:
    """Outermost operators that wait for the device; the call itself where no operator does."""
    trace, launches = graph.trace, graph.trace.launches
    waits = waiting_calls(graph)
    waits = waits[(launches.start_ns[waits] >= start_ns) & (launches.start_ns[waits] < end_ns)]
    op = _outermost(graph, launches.thread[waits], launches.start_ns[waits])
    alone = op < 0  # `.item()` copies and then waits: one operator counts once
    name = np.concatenate((trace.ops.name[np.unique(op[~alone])], launches.name[waits[alone]]))
    return Counter(trace.names[row] for row in name.tolist())


def _outermost(graph: StepGraph, thread: Ids, moment_ns: Ints) -> Ids:
    """Row of the outermost operator that is open at each moment; -1 where none is."""
    ops = graph.trace.ops  # by thread and start
    row = np.full(len(thread), -1, np.int32)
    for number in np.unique(thread).tolist():
        mine = thread == number
        first, last = np.searchsorted(ops.thread, [number, number + 1])
        begun = np.searchsorted(ops.start_ns[first:last], moment_ns[mine], side="right")
        row[mine] = np.where(begun > 0, first + begun - 1, -1)
    outermost = np.full(len(thread), -1, np.int32)
    while (row >= 0).any():
        open_ = (row >= 0) & (ops.kind[row] == OpKind.OP) & (ops.end_ns[row] > moment_ns)
        outermost[open_] = row[open_]
        row = np.where(row >= 0, ops.parent[row], np.int32(-1))
    return outermost


RULE = Rule(
    "synchronisation", __doc__ or "", find,
    title="The host waits for the device inside the step",
    action="Keep values on the device; read the loss every so many steps only.",
    snippet="total += loss.detach()  # instead of loss.item()",
    caveats=("where the value decides what is computed next, the wait must stay",),
    needs=("gpu", "launches"),
    docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)  # fmt: skip
