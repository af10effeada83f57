"""Idle time by cause: each idle nanosecond of the window gets one cause that the trace shows.

Instant by instant, the first of these that holds:

* data_loading         the host is inside the DataLoader's `__next__`: no batch, no work
* host_to_device_copy  the host is inside the call of a copy from pageable memory, which it stages itself
* synchronisation      the host is inside a `*Synchronize` call and cannot launch
* launch_gap           the kernel that ends the gap was launched after the previous work had ended: the
                       host was not ahead of the device. The gap counts from its begin, launch latency
                       included; what comes later than that has another cause
* unknown              all the rest: dependencies between streams, peers, scheduling; also whatever
                       precedes a kernel whose launch was not recorded

"Inside" is on any thread of the process: a thread that waits says why only if the device waits too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from traceanalyzer.records import IDLE_CAUSES, IdleCause, IdlePart
from traceanalyzer.records.trace import Ids, Ints, RecordKind, Trace
from traceanalyzer.roofline.attribution import clip, union

# On an idle device a kernel starts 1 to 15 us after its launch call returns (99th percentiles in public
# traces of eight GPU models); one that starts later was held up by something the host did not do.
_LAUNCH_LATENCY_NS = 20_000


def gaps(start_ns: Ints, end_ns: Ints, window: tuple[int, int]) -> tuple[Ints, Ints]:
    """The stretches of `window` that no interval covers, in order."""
    start, end = union(*clip(start_ns, end_ns, window))
    left = np.concatenate(([window[0]], end)).astype(np.int64)
    right = np.concatenate((start, [window[1]])).astype(np.int64)
    real = right > left
    return left[real], right[real]


def idle_by_cause(trace: Trace, members: Ids, gap_start: Ints, gap_end: Ints) -> tuple[IdlePart, ...]:
    """All five causes, also at 0; whole ns that add up to the gaps' total exactly.

    `members`: rows of Trace.kernels that belong to the device; `gap_start`, `gap_end`: its idle
    stretches, sorted and disjoint.
    """
    explained: list[tuple[Ints, Ints]] = []
    sources: dict[IdleCause, tuple[Ints, Ints]] = {
        "data_loading": _ops_named(trace, lambda name: name.startswith("enumerate(DataLoader)")),
        "host_to_device_copy": _pageable_copies(trace, members),
        "synchronisation": _launches_named(trace, lambda name: "Synchronize" in name),
        "launch_gap": _late_launches(trace, members, gap_start, gap_end),
    }
    idle_ns: dict[IdleCause, int] = {}
    before = 0
    for cause, stretches in sources.items():
        explained.append(stretches)
        together = _covered(explained, gap_start, gap_end)
        idle_ns[cause] = together - before
        before = together
    idle_ns["unknown"] = int((gap_end - gap_start).sum()) - before
    return tuple(IdlePart(cause, idle_ns[cause]) for cause in IDLE_CAUSES)


def _covered(parts: Sequence[tuple[Ints, Ints]], gap_start: Ints, gap_end: Ints) -> int:
    """How much of the gaps lies inside the union of `parts`."""
    start, end = union(np.concatenate([s for s, _ in parts]), np.concatenate([e for _, e in parts]))
    if not len(start) or not len(gap_start):
        return 0
    total = np.concatenate(([0], np.cumsum(end - start)))

    def until(moment: Ints) -> Ints:
        """Covered ns before each moment."""
        row = np.searchsorted(start, moment, side="right") - 1
        inside = np.minimum(end[row], moment) - start[row]
        return np.where(row >= 0, total[row] + inside, 0)

    return int((until(gap_end) - until(gap_start)).sum())


def _named(names: Sequence[str], column: Ids, test: Callable[[str], bool]) -> Ids:
    """Rows whose name passes; every distinct name is looked at once."""
    distinct = np.unique(column[column >= 0])
    good = [int(n) for n in distinct if test(names[int(n)])]
    return np.flatnonzero(np.isin(column, good)).astype(np.int32)


def _ops_named(trace: Trace, test: Callable[[str], bool]) -> tuple[Ints, Ints]:
    rows = _named(trace.names, trace.ops.name, test)
    return trace.ops.start_ns[rows], trace.ops.end_ns[rows]


def _launches_named(trace: Trace, test: Callable[[str], bool]) -> tuple[Ints, Ints]:
    rows = _named(trace.names, trace.launches.name, test)
    return trace.launches.start_ns[rows], trace.launches.end_ns[rows]


def _pageable_copies(trace: Trace, members: Ids) -> tuple[Ints, Ints]:
    """The calls of host-to-device copies that do not say they come from pinned memory."""
    kernels = trace.kernels
    copies = members[(kernels.kind[members] == RecordKind.MEMCPY) & (kernels.launch[members] >= 0)]
    staged = _named(trace.names, kernels.name[copies], lambda n: "HtoD" in n and "Pinned" not in n)
    calls = np.unique(kernels.launch[copies[staged]])
    return trace.launches.start_ns[calls], trace.launches.end_ns[calls]


def _late_launches(trace: Trace, members: Ids, gap_start: Ints, gap_end: Ints) -> tuple[Ints, Ints]:
    """Of the gaps that end with a kernel launched after they began, what the launch explains."""
    kernels = trace.kernels
    real = members[kernels.end_ns[members] > kernels.start_ns[members]]
    start = kernels.start_ns[real]  # members keep the order of Trace.kernels: by start
    first = np.searchsorted(start, gap_end)
    launched = first < len(start)
    launched[launched] = start[first[launched]] == gap_end[launched]
    row = real[first[launched]]
    late = (kernels.launch[row] >= 0) & (kernels.launch_ns[row] >= gap_start[launched])
    start, end, call = gap_start[launched][late], gap_end[launched][late], kernels.launch[row[late]]
    return start, np.minimum(end, trace.launches.end_ns[call] + _LAUNCH_LATENCY_NS)
