"""Times that cannot be: kernels that lie over others of their own stream, and kernels stamped too late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import UNLINKED, Ids, Ints, Kernels, Trace
from traceanalyzer.records.units import duration
from traceanalyzer.trace.linking.link import text_rank

# A stream runs one kernel after the other. With programmatic dependent launch the next one may begin while
# one ends, for some microseconds; the one after it cannot.
_OVERLAP_NS = 100_000
_COVERED = 2  # later records of its stream that a duration lies over and cannot
_FEW, _FEW_SHARE = 3, 0.01  # of a stream: where more do, what the trace calls a stream may be none
_BESIDE = 4  # times the extent of a stream, that lies over its kernels: that is more than streams called one
_LOOKED_AT = 1000  # records of a stream that a duration is held against
_SHOWN = 80  # characters of a name
_CUDA_GRAPH = UNLINKED.index("cuda_graph")

_LEAST_LAUNCHES = 20  # in a step, to judge when its kernels ran
_LEAST_LAUNCHING_NS = 1_000_000
_BEHIND = 0.95  # of a step's kernels, that start behind it
_WAITED = 0.9  # of the time before them, that the device was idle
_PACKED = 0.95  # of the burst, that kernels run


def believed(names: Sequence[str], kernels: Kernels) -> tuple[Kernels, tuple[Notice, ...]]:
    """Without impossible durations: each counts up to the next start of its stream. O(n log n).

    Kernels that one graph launched are not held against one another: they may run side by side.
    """
    rows, until, doubts = _impossible(names, kernels)
    if not len(rows):
        return kernels, doubts
    worst = int(rows[np.argmax(kernels.end_ns[rows] - until)])
    counted = int(until[rows == worst][0]) - int(kernels.start_ns[worst])
    text = (
        f"{_cut(names[kernels.name[worst]])} is recorded to take "
        f"{duration(int(kernels.duration_ns[worst]))}, over many later ones of its own stream; "
        f"{duration(counted)} are counted, up to the next start"
    )
    end_ns = kernels.end_ns.copy()
    end_ns[rows] = until
    changed = replace(kernels, end_ns=end_ns, duration_ns=end_ns - kernels.start_ns)
    return _in_order(names, changed), (Notice("impossible_duration", text, len(rows)), *doubts)


def _cut(name: str) -> str:
    return f"{name[:_SHOWN]}{'...' if name[_SHOWN:] else ''}"


def _impossible(names: Sequence[str], kernels: Kernels) -> tuple[Ints, Ints, tuple[Notice, ...]]:
    """Rows that lie over too many others of their stream, and where the next of it starts.

    With notices of streams that are none, where not times but streams may be what is wrong.
    """
    long = np.flatnonzero(kernels.duration_ns > _OVERLAP_NS)
    over = np.searchsorted(kernels.start_ns, kernels.end_ns[long]) - long - 1
    suspects = long[over >= _COVERED]
    streams = {(int(kernels.device[row]), int(kernels.stream[row])) for row in suspects}
    rows, until = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    doubts = []
    for device, stream in sorted(streams):
        mine = np.flatnonzero((kernels.device == device) & (kernels.stream == stream))
        lying, following_ns = _lying_over_others(kernels, mine)
        if not len(lying):
            continue
        if _are_wrong(kernels, mine, lying, following_ns):
            rows.append(lying)
            until.append(following_ns)
        else:
            doubts.append(_doubt(names, kernels, lying, stream))
    return np.concatenate(rows), np.concatenate(until), tuple(doubts)


def _lying_over_others(kernels: Kernels, mine: Ints) -> tuple[Ints, Ints]:
    """Of one stream the rows that lie over several whole others, and where the next of it starts."""
    start, end = kernels.start_ns[mine], kernels.end_ns[mine]
    following = np.searchsorted(start, start, side="right")  # the next that starts later
    last = np.searchsorted(start, end)
    rows, until = [], []
    for row in np.flatnonzero((last - following >= _COVERED) & (end - start > _OVERLAP_NS)).tolist():
        inside = mine[int(following[row]) : min(int(last[row]), int(following[row]) + _LOOKED_AT)]
        others = inside[kernels.correlation[inside] != kernels.correlation[mine[row]]]
        covered = others[kernels.end_ns[others] <= end[row]]
        if len(covered) >= _COVERED and end[row] - kernels.start_ns[covered[0]] > _OVERLAP_NS:
            rows.append(int(mine[row]))
            until.append(int(start[following[row]]))
    return np.array(rows, np.int64), np.array(until, np.int64)


def _are_wrong(kernels: Kernels, mine: Ints, lying: Ints, following_ns: Ints) -> bool:
    """Whether times are wrong, not the stream: they are few, or claim more than several streams could run."""
    if len(lying) <= max(_FEW, _FEW_SHARE * len(mine)):
        return True
    others = np.setdiff1d(mine, lying)
    if not len(others):
        return False
    extent = int(kernels.end_ns[others].max() - kernels.start_ns[mine[0]])
    return int((kernels.end_ns[lying] - following_ns).sum()) > _BESIDE * extent


def _doubt(names: Sequence[str], kernels: Kernels, lying: Ints, stream: int) -> Notice:
    longest = int(lying[np.argmax(kernels.duration_ns[lying])])
    example = f"{_cut(names[kernels.name[longest]])} for {duration(int(kernels.duration_ns[longest]))}"
    text = (
        f"kernels lie over several later ones of their own stream, {stream}, which runs one after the other, "
        f"for example {example}: "
        "the streams or the times of the trace are wrong, and busy time and the borders of steps with them"
    )
    return Notice("overlapping_stream", text, len(lying))


def _in_order(names: Sequence[str], kernels: Kernels) -> Kernels:
    rows = np.lexsort((
        text_rank(names, kernels.name), kernels.correlation, kernels.stream, kernels.device,
        kernels.end_ns, kernels.start_ns,
    ))  # fmt: skip
    return Kernels(*(getattr(kernels, name)[rows] for name in Kernels.__struct_fields__))


def without_late_launches(trace: Trace) -> Trace:
    """Kernels of steps behind which all of them are stamped in one burst lose their launch, which is said.

    They keep the operator and the moment of the launch, but nothing is concluded from how long they waited.
    """
    if trace.on_cpu:
        return trace
    late = np.zeros(len(trace.kernels), bool)
    judged = behind = 0
    reach_ns = np.maximum.accumulate(trace.kernels.end_ns)
    for rows, end in _launched(trace):
        if not _enough(trace, rows):
            continue
        judged += 1
        if _stamped_late(trace.kernels, reach_ns, rows, end):
            behind += 1
            late[rows] = trace.kernels.unlinked[rows] != _CUDA_GRAPH  # launches group those
    if not behind or 2 * behind < judged:
        return trace
    text = (
        "the kernels of a step are stamped in one burst behind it, although the device was idle while they "
        "were launched: when they ran is not known, and idle time says nothing of the host"
    )
    kernels = replace(trace.kernels, launch=np.where(late, np.int32(-1), trace.kernels.launch))
    notice = Notice("late_timestamps", text, int(np.count_nonzero(late)))
    return replace(trace, kernels=kernels, warnings=(*trace.warnings, notice))


def _stretches(trace: Trace) -> list[tuple[int, int]]:
    """The steps; without any, all the time in which kernels were launched."""
    if trace.steps:
        return [(step.start_ns, step.end_ns) for step in trace.steps]
    calls = np.unique(trace.kernels.launch[trace.kernels.launch >= 0])
    if not len(calls):
        return []
    return [(int(trace.launches.start_ns[calls].min()), int(trace.launches.end_ns[calls].max()))]


def _launched(trace: Trace) -> Iterator[tuple[Ints, int]]:
    """Of each stretch the kernels launched in it, in their order, and where it ends."""
    rows = np.flatnonzero(trace.kernels.launch >= 0)
    rows = rows[np.argsort(trace.kernels.launch_ns[rows], kind="stable")]
    moments = trace.kernels.launch_ns[rows]
    for start, end in _stretches(trace):
        first, last = np.searchsorted(moments, (start, end + 1))
        yield np.sort(rows[first:last]), end


def _enough(trace: Trace, rows: Ints) -> bool:
    calls: Ids = trace.kernels.launch[rows]
    if len(np.unique(calls)) < _LEAST_LAUNCHES:
        return False
    moments = trace.launches.start_ns[calls]
    return bool(moments.max() - moments.min() >= _LEAST_LAUNCHING_NS)


def _stamped_late(kernels: Kernels, reach_ns: Ints, rows: Ints, end: int) -> bool:
    """Whether kernels launched before `end` all start behind it, packed, after a wait of an idle device."""
    start = kernels.start_ns[rows]
    if (start >= end).mean() < _BEHIND:
        return False
    burst = rows[start >= end]
    first, last = int(kernels.start_ns[burst[0]]), int(kernels.end_ns[burst].max())
    launched = int(kernels.launch_ns[rows].min())
    waited = first - launched
    some = np.arange(
        np.searchsorted(reach_ns, launched, side="right"), np.searchsorted(kernels.start_ns, first)
    )
    before = some[kernels.end_ns[some] > launched]
    if _covered(kernels, before, launched, first) > (1 - _WAITED) * waited:
        return False
    return _covered(kernels, burst, first, last) >= _PACKED * (last - first)


def _covered(kernels: Kernels, rows: Ints, start: int, end: int) -> int:
    """Nanoseconds of [start, end) in which at least one of `rows`, by start, runs."""
    if not len(rows):
        return 0
    opens = np.clip(kernels.start_ns[rows], start, end)
    closes = np.maximum.accumulate(np.clip(kernels.end_ns[rows], start, end))
    before = np.concatenate(([start], closes[:-1]))
    return int(np.maximum(closes - np.maximum(opens, before), 0).sum())
