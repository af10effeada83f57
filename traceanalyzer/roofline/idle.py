"""Idle time by cause: each idle nanosecond of the window gets one cause that the trace shows.

Instant by instant, the first of these that holds:

* profiler             the profiler does its own work: rows of the category `overhead`
* compilation          dynamo, inductor or Triton compile
* data_loading         the host is inside the DataLoader's `__next__`: no batch, no work
* memory_allocation    the allocator asks the driver for memory, or gives it back
* first_use            a module is loaded, a stream or a library created; also what allocates before the first
                       launch, and a launch of over a millisecond of a kernel that was never launched before
* host_to_device_copy  the host is inside the call of a copy from pageable memory, which it stages itself
* synchronisation      the host is inside a `*Synchronize` call and cannot launch
* launch_gap           the kernel that ends the gap was launched after the gap had begun, and the host was
                       launching: in a call, or for less than a millisecond on its way to the next one
* host_work            likewise, but the host launched nothing for long: an annotation, operator or Python
                       function of over 0.3 ms began and ended between two launches, or one covers most of a
                       time without a launch that is far longer than usual or over a millisecond
* unknown              all the rest: the host, where nothing says what it did; dependencies between streams,
                       peers, scheduling; whatever precedes a kernel whose launch was not recorded

"Inside" is on a thread that feeds the device, that is, launches some of its work: what a thread that fills
queues or writes logs meanwhile waits for holds nothing up, nor does what one thread waits for while another
launches. The profiler works on threads of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from traceanalyzer.records import IDLE_CAUSES, IdleCause, IdlePart, NamedTime
from traceanalyzer.records.judged import IdleTimes
from traceanalyzer.records.trace import Bools, Ids, Ints, Launches, Ops, RecordKind, Spans, Trace, passes
from traceanalyzer.roofline.host_work import waits
from traceanalyzer.roofline.intervals import Intervals, common, covered, disjoint, merged, together, without
from traceanalyzer.roofline.launching import LONGEST_NS, calls_of, launching_threads

_SHOWN = 5  # names of a cause
_ALLOCATION = re.compile(
    r"(?:cuda|hip)(?:Host|Ext)?(?:Malloc|Free|Alloc)|cuMem(?:Host)?(?:Alloc|Free|Create|Release|Map|Unmap|SetAccess)"
    r"|hipMem(?:Create|Release|Map|Unmap|SetAccess)"
)
_FIRST_USE = re.compile(
    r"(?:cu|hip|cuda)(?:Module|Library)(?:Load|GetFunction)|(?:cuda|hip|cu)StreamCreate|cu(?:da)?Init|hipInit"
    r"|cuCtxCreate|cuDevicePrimaryCtxRetain|cublasCreate|cudnnCreate|ncclCommInit|Lazy Function Loading"
)
# dynamo_timed opens a scope of this name (torch/_dynamo/utils.py). Of files that also run what they compiled
# (`CompiledFxGraph.__call__` stood in codecache.py up to torch 2.5, and Triton's compiler.py prepares each
# launch) only the functions that compile or load count.
_COMPILATION = re.compile(
    r".*\(dynamo_timed\)$"
    r"|torch/_dynamo/convert_frame\.py|torch/_inductor/async_compile\.py|torch/utils/cpp_extension\.py"
    r"|torch/_inductor/(?:codecache|compile_fx)\.py\(\d+\): \w*(?:compile(?!d)|codegen|(?<![a-z])load)"
    r"|triton/compiler/(?:code_generator|make_launcher)\.py"
    r"|triton/(?:compiler/compiler|runtime/jit)\.py\(\d+\): (?:_do_)?compile\b"
)
_TIMES_UNKNOWN = frozenset({"late_timestamps", "counters_without_times"})
_LOADING = "enumerate(DataLoader)"


def idle_times(trace: Trace, members: Ids, gap_start: Ints, gap_end: Ints) -> IdleTimes:
    """Every idle stretch of a device with its cause and the name of what the host did; they are the gaps.

    `members`: rows of Trace.kernels that belong to the device; `gap_start`, `gap_end`: its idle stretches,
    sorted and disjoint.
    """
    left = Intervals(gap_start, gap_end, np.full(len(gap_start), -1, np.int32))
    if any(notice.code in _TIMES_UNKNOWN for notice in trace.warnings):
        return _in_order([("unknown", left)])  # when the device was idle is not known
    parts_by_cause: list[tuple[IdleCause, Intervals]] = []
    sources = _sources(trace, members)
    for cause, source in sources:
        part, _ = common(left, source)
        parts_by_cause.append((cause, part))
        left = without(left, source)
    held_up = covered(*(source for _, source in sources))
    held = waits(trace, members, gap_start, gap_end, left, held_up)
    named = held.working.row >= 0
    parts_by_cause += [
        ("launch_gap", held.launching.without_rows()),
        ("host_work", held.working.chosen(np.flatnonzero(named))),
        ("unknown", held.working.chosen(np.flatnonzero(~named))),
        ("unknown", held.elsewhere.without_rows()),
    ]
    return _in_order(parts_by_cause)


def _in_order(parts_by_cause: Sequence[tuple[IdleCause, Intervals]]) -> IdleTimes:
    start = np.concatenate([part.start_ns for _, part in parts_by_cause])
    order = np.argsort(start, kind="stable")
    code = np.concatenate(
        [np.full(len(part), IDLE_CAUSES.index(cause), np.int8) for cause, part in parts_by_cause]
    )
    end = np.concatenate([part.end_ns for _, part in parts_by_cause])
    name = np.concatenate([part.row for _, part in parts_by_cause])
    return IdleTimes(start[order], end[order], code[order], name[order])


def each_in_one_step(idle: IdleTimes, cuts: Sequence[int]) -> IdleTimes:
    """The same, cut where a step begins inside a stretch."""
    moment_ns = np.unique(np.array(cuts, np.int64))
    stretch = np.searchsorted(idle.start_ns, moment_ns) - 1  # the last that began before
    begun = stretch >= 0
    stretch, moment_ns = stretch[begun], moment_ns[begun]
    inside = moment_ns < idle.end_ns[stretch]
    stretch, moment_ns = stretch[inside], moment_ns[inside]
    start = np.insert(idle.start_ns, stretch + 1, moment_ns)
    end = np.insert(idle.end_ns, stretch, moment_ns)
    cause = np.insert(idle.cause, stretch, idle.cause[stretch])
    return IdleTimes(start, end, cause, np.insert(idle.name, stretch, idle.name[stretch]))


def idle_by_cause(idle: IdleTimes, names: Sequence[str]) -> tuple[IdlePart, ...]:
    """All causes, also at 0, each with the names of most time; whole ns that add up to the gaps exactly."""
    length = idle.end_ns - idle.start_ns
    parts = []
    for code, cause in enumerate(IDLE_CAUSES):
        mine = idle.cause == code
        parts.append(IdlePart(cause, int(length[mine].sum()), _most(idle.name[mine], length[mine], names)))
    return tuple(parts)


def _most(name: Ids, length: Ints, names: Sequence[str]) -> tuple[NamedTime, ...]:
    """The names of most time, the longest first."""
    if not len(name):
        return ()  # of nearly all causes, in each of a thousand steps
    rows, back = np.unique(name, return_inverse=True)
    time = np.zeros(len(rows), np.int64)
    np.add.at(time, back, length)
    order = np.argsort(-time, kind="stable")
    shown = [NamedTime(names[rows[at]], int(time[at])) for at in order.tolist() if rows[at] >= 0]
    return tuple(shown[:_SHOWN])


def _sources(trace: Trace, members: Ids) -> list[tuple[IdleCause, Intervals]]:
    """What holds the device up by itself, the first that holds before the next; rows are names."""
    of_profiler, lazy = trace.spans.profiler, passes(trace.names, trace.spans.name, _FIRST_USE.match)
    compiling = ~of_profiler & passes(trace.names, trace.spans.name, _COMPILATION.match)
    calls, first = trace.launches, _first_launch_ns(trace)
    feeding = _feeding(trace, members)
    ours = feeding[calls.thread]
    compiling &= feeding[trace.spans.thread]
    allocating = ours & passes(trace.names, calls.name, _ALLOCATION.match)
    starting = ours & passes(trace.names, calls.name, _FIRST_USE.match) | (
        allocating & (calls.start_ns < first)
    )
    starting |= _slow_first_launches(trace)
    waiting = ours & passes(trace.names, calls.name, lambda name: "Synchronize" in name)
    launches = launching_threads(calls_of(trace, members))

    def alone(table: Ops | Spans | Launches, chosen: Bools) -> Intervals:
        return _unless_another_launches(table, chosen, launches)

    return [
        ("profiler", _disjoint(trace.spans, of_profiler & ~lazy)),
        ("compilation", merged(alone(trace.ops, _ops(trace, feeding, _COMPILATION.match)),
                             alone(trace.spans, compiling))),
        ("data_loading", alone(trace.ops, _ops(trace, feeding, lambda name: name.startswith(_LOADING)))),
        ("memory_allocation", alone(calls, allocating & ~starting)),
        ("first_use", merged(_disjoint(trace.spans, of_profiler & lazy), alone(calls, starting))),
        ("host_to_device_copy", alone(calls, _pageable_copies(trace, members))),
        ("synchronisation", alone(calls, waiting)),
    ]  # fmt: skip


def _unless_another_launches(table: Ops | Spans | Launches, chosen: Bools, launches: Intervals) -> Intervals:
    """Those rows, save where another thread launches meanwhile; `launches` has a thread in each row."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(table.thread[rows], kind="stable")]
    by_thread = np.split(rows, np.flatnonzero(np.diff(table.thread[rows])) + 1)
    whole = together(
        [disjoint(table.start_ns[mine], table.end_ns[mine], mine.astype(np.int32)) for mine in by_thread]
    )
    meanwhile, which = common(whole, launches)
    alone = np.flatnonzero(meanwhile.row == table.thread[whole.row[which]])
    by_itself = Intervals(meanwhile.start_ns[alone], meanwhile.end_ns[alone], whole.row[which[alone]])
    kept = merged(without(whole, launches), by_itself)
    return Intervals(kept.start_ns, kept.end_ns, table.name[kept.row])


def _feeding(trace: Trace, members: Ids) -> Bools:
    """Of each thread, whether it launches work of the device; all where no launch is recorded."""
    columns = (trace.ops.thread, trace.launches.thread, trace.spans.thread)
    feeding = np.zeros(1 + max(int(column.max(initial=0)) for column in columns), bool)
    launched = trace.kernels.launch[members]
    feeding[trace.launches.thread[launched[launched >= 0]]] = True
    return feeding if feeding.any() else ~feeding


def _first_launch_ns(trace: Trace) -> int:
    """When the first kernel of the trace was launched."""
    moments = trace.kernels.launch_ns[trace.kernels.launch >= 0]
    return int(moments.min()) if len(moments) else 0


def _slow_first_launches(trace: Trace) -> Bools:
    """Of each call, whether it launched for over a millisecond what had never been launched before.

    A driver loads a kernel's code when it is first launched.
    """
    kernels, calls = trace.kernels, trace.launches
    slow = np.zeros(len(calls), bool)
    launched = np.flatnonzero((kernels.launch >= 0) & (kernels.kind == RecordKind.KERNEL))
    launched = launched[np.argsort(kernels.launch_ns[launched], kind="stable")]
    _, first = np.unique(kernels.name[launched], return_index=True)
    rows = kernels.launch[launched[first]]
    slow[rows[calls.end_ns[rows] - calls.start_ns[rows] > LONGEST_NS]] = True
    return slow


def _ops(trace: Trace, feeding: Bools, test: Callable[[str], object]) -> Bools:
    return passes(trace.names, trace.ops.name, test) & feeding[trace.ops.thread]


def _disjoint(spans: Spans, chosen: Bools) -> Intervals:
    return disjoint(spans.start_ns[chosen], spans.end_ns[chosen], spans.name[chosen])


def _pageable_copies(trace: Trace, members: Ids) -> Bools:
    """Of each call, whether it copies to the device and does not say that it does so from pinned memory."""
    kernels = trace.kernels
    copies = members[(kernels.kind[members] == RecordKind.MEMCPY) & (kernels.launch[members] >= 0)]
    staged = passes(trace.names, kernels.name[copies], lambda name: "HtoD" in name and "Pinned" not in name)
    chosen = np.zeros(len(trace.launches), bool)
    chosen[kernels.launch[copies[staged]]] = True
    return chosen
