"""When the host launches work of a device: in its calls, and in the pauses between them that are no longer
than launching takes."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.trace import Bools, Ids, Ints, OpKind, Ops, Trace
from traceanalyzer.roofline.attribution import union
from traceanalyzer.roofline.intervals import Intervals, covered, disjoint, gaps, time_in

# Between two launches the host runs Python and dispatches operators, which takes 5 to 300 us in public traces
# of eager models. What takes longer than the first without a launch may be something else, and is where it
# has a name or is far from usual; what takes longer than the second is no launching.
DISPATCH_NS = 300_000
LONGEST_NS = 1_000_000
FAR_FROM_USUAL = 10.0  # times the median pause
COVERS_MOST_SHARE = 0.5


class Calls(msgspec.Struct, frozen=True, eq=False):
    """The calls that launch work of a device, by start."""

    start_ns: Ints
    end_ns: Ints  # after the start
    thread: Ids
    op: Ids  # row in Trace.ops: of the first kernel that it launches; -1

    def __len__(self) -> int:
        return len(self.start_ns)

    def spans(self) -> Intervals:
        """When the host is in one of them."""
        return disjoint(self.start_ns, self.end_ns, np.full(len(self), -1, np.int32))

    def following(self, moment_ns: Ints) -> Ints:
        """The first call at each moment or after; len(self) where none is."""
        return np.searchsorted(self.start_ns, moment_ns)


def calls_of(trace: Trace, members: Ids) -> Calls:
    """Of the device whose records are these rows of Trace.kernels."""
    kernels, launches = trace.kernels, trace.launches
    launched = members[kernels.launch[members] >= 0]
    rows, first = np.unique(kernels.launch[launched], return_index=True)
    order = np.argsort(launches.start_ns[rows], kind="stable")
    rows, op = rows[order], kernels.op[launched][first][order]
    start = launches.start_ns[rows]
    return Calls(start, np.maximum(launches.end_ns[rows], start + 1), launches.thread[rows], op)


def launching_threads(calls: Calls) -> Intervals:
    """When a thread launches, by its number: in a call, or between two that follow closely.

    Not where another thread launches in between, or takes over.
    """
    if not len(calls):
        return calls.spans()
    reach = np.concatenate((calls.start_ns[:1], np.maximum.accumulate(calls.end_ns)[:-1]))
    before = np.concatenate((calls.thread[:1], calls.thread[:-1]))
    goes_on = (before == calls.thread) & (calls.start_ns - reach < LONGEST_NS)
    opens = np.where(goes_on, np.minimum(reach, calls.start_ns), calls.start_ns)
    return disjoint(opens, calls.end_ns, calls.thread)


def pauses_between(calls: Calls, held_up: Intervals, span: tuple[int, int]) -> Intervals:
    """The stretches of `span` in which the host is in no call and nothing of `held_up` holds it up.

    The row is that of the call that follows; len(calls) where none does.
    """
    closed = covered(calls.spans(), held_up)
    start, end = gaps(closed.start_ns, closed.end_ns, span)
    return Intervals(start, end, calls.following(end).astype(np.int32))


def launching_in(trace: Trace, calls: Calls, pauses: Intervals, held: Intervals) -> Bools:
    """Of each pause, whether the host was on its way to the next launch, save while something `held` it.

    It was if that did not take it far longer than usual, or if operators took most of it, and in neither case
    over a millisecond.
    """
    if not len(calls):
        return np.zeros(len(pauses), bool)
    other = pauses.length_ns - time_in(pauses, held)
    at_call = np.append(calls.start_ns, -1)[pauses.row] == pauses.end_ns
    usual = float(np.median(other[at_call])) if at_call.any() else 0.0
    limit = min(max(FAR_FROM_USUAL * usual, DISPATCH_NS), LONGEST_NS)
    at_work = time_in(pauses, _operators(trace.ops)) >= COVERS_MOST_SHARE * pauses.length_ns
    launches: Bools = (
        (pauses.row < len(calls)) & (pauses.length_ns < LONGEST_NS) & ((other < limit) | at_work)
    )
    return launches


def _operators(ops: Ops) -> Intervals:
    """When any operator runs: those that lie in another one add nothing."""
    operator = ops.kind != OpKind.ANNOTATION
    rows = np.flatnonzero(operator & ~np.append(operator, False)[ops.parent])  # -1 reads the last entry
    start, end = union(ops.start_ns[rows], ops.end_ns[rows])
    return Intervals(start, end, np.broadcast_to(np.int32(-1), len(start)))


def from_its_operator(trace: Trace, calls: Calls, pauses: Intervals) -> Ints:
    """When the operator begins that makes the call at the end of each pause; the end where none does by then.

    What an operator does for up to a millisecond before it launches is launching.
    """
    follows = np.append(calls.start_ns, -1)[pauses.row] == pauses.end_ns
    op = np.append(calls.op, np.int32(-1))[np.where(follows, pauses.row, len(calls))]
    opened = np.append(trace.ops.start_ns, 0)[op]
    near = (op >= 0) & (opened < pauses.end_ns) & (pauses.end_ns - opened < LONGEST_NS)
    return np.where(near, np.maximum(opened, pauses.start_ns), pauses.end_ns)
