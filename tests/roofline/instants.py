"""One idle instant after the other: its cause as docs/time.md defines it, read off all rows of a trace.

A twin of `traceanalyzer.roofline.idle`, of which it imports nothing. There, sorted intervals are intersected;
here, every row is looked at for one instant, and pauses of the host come from one walk over its calls.
"""

from __future__ import annotations

import re
import statistics
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from traceanalyzer.records.step_names import is_step_name
from traceanalyzer.records.trace import Launches, OpKind, Ops, RecordKind, Spans, Trace

ARRIVES_NS, DISPATCH_NS, LONGEST_NS = 20_000, 300_000, 1_000_000
COMPILING_FUNCTIONS = {
    r"torch/_dynamo/convert_frame\.py": ".*", r"torch/_inductor/async_compile\.py": ".*",
    r"torch/utils/cpp_extension\.py": ".*", r"triton/compiler/(code_generator|make_launcher)\.py": ".*",
    r"torch/_inductor/(codecache|compile_fx)\.py": r"\w*(compile(?!d)|codegen)\w*|(\w*_)?load\w*",
    r"triton/(compiler/compiler|runtime/jit)\.py": "(_do_)?compile",
}  # fmt: skip
ALLOCATES = re.compile(
    r"(cuda|hip)(Malloc|Free|HostMalloc|HostFree|HostAlloc|ExtMalloc)|(cuMem|hipMem)(Create|Release|Map|Unmap|SetAccess)"
    r"|cuMem(Host)?(Alloc|Free)"
)
STARTS_UP = re.compile(
    r"(cu|hip|cuda)(ModuleLoad|LibraryLoad|ModuleGetFunction|LibraryGetFunction|StreamCreate)|cuInit|cudaInit|hipInit"
    r"|cuCtxCreate|cuDevicePrimaryCtxRetain|cublasCreate|cudnnCreate|ncclCommInit|Lazy Function Loading"
)
Span = tuple[int, int]
Rows = npt.NDArray[np.intp]
Table = Ops | Launches | Spans


@dataclass(frozen=True)
class Call:
    """A call that launches work of the device."""

    start: int
    end: int  # after the start
    thread: int
    op: int  # row of the operator that makes it; -1


@dataclass(frozen=True)
class Pause:
    """Neither in a call nor held up; `following`: place of the next call; `held`: named work in it."""

    start: int
    end: int
    following: int
    at_call: bool
    held: tuple[Span, ...]

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def other_ns(self) -> int:
        return self.length - sum(end - start for start, end in self.held)


def compiles(name: str) -> bool:
    if name.endswith("(dynamo_timed)"):
        return True
    frame = re.fullmatch(r"(.*\.py)\(\d+\): (.*)", name)
    return bool(frame) and any(
        re.fullmatch(file, frame[1]) and re.fullmatch(function, frame[2])  # type: ignore[index]
        for file, function in COMPILING_FUNCTIONS.items()
    )


def of_library(name: str) -> bool:
    return name.startswith("<") or re.split(r"[/.(]", name)[0] in {"torch", *sys.stdlib_module_names}


def joined(spans: list[Span]) -> list[Span]:
    """Sorted and disjoint, empty ones left out."""
    whole: list[Span] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return whole


class Instants:
    """Of one device with a trace whose records are all its own."""

    def __init__(self, trace: Trace, window: Span) -> None:
        self.trace, self.window = trace, window
        kernels, calls = trace.kernels, trace.launches
        first_of: dict[int, int] = {}
        for kernel, launch in enumerate(kernels.launch.tolist()):
            if launch >= 0:
                first_of.setdefault(launch, kernel)
        self.first_of = first_of
        rows = sorted(first_of, key=lambda row: (calls.start_ns[row], row))
        self.calls = [
            Call(start := int(calls.start_ns[row]), max(int(calls.end_ns[row]), start + 1),
                 int(calls.thread[row]), int(kernels.op[first_of[row]]))
            for row in rows
        ]  # fmt: skip
        self.starts = [call.start for call in self.calls]
        self.feeding = {call.thread for call in self.calls} or set(range(100_000))
        self.late = any(notice.code == "late_timestamps" for notice in trace.warnings)

    def cause(self, t: int) -> str:
        """Of an instant at which nothing runs."""
        if self.late:
            return "unknown"
        for cause, table, rows in self.sources:
            for row in self.open_at(table, rows, t):
                mine = table.thread[row]
                if (cause, table is self.trace.spans) in (("profiler", True), ("first_use", True)):
                    return cause  # the profiler works on threads of its own
                if self.who_launches(t) in (None, int(mine)):
                    return cause
        return self.of_host(t)

    # What holds the device up by itself.

    @cached_property
    def sources(self) -> list[tuple[str, Table, Rows]]:
        """Rows by cause, the first that holds before the next."""
        trace = self.trace
        names, calls, spans = trace.names, trace.launches, trace.spans

        def rows(table: Table, chosen: list[bool]) -> Rows:
            return np.flatnonzero(np.array(chosen, bool) & np.isin(table.thread, list(self.feeding)))

        called, ran = ([names[name] for name in table.name.tolist()] for table in (calls, trace.ops))
        spent = [names[name] for name in spans.name.tolist()]
        lazy = spans.profiler & np.array([bool(STARTS_UP.match(name)) for name in spent], bool)
        of_user = ~spans.profiler & np.array([compiles(name) for name in spent], bool)
        allocates = np.array([bool(ALLOCATES.match(name)) for name in called], bool)
        opens = np.array([bool(STARTS_UP.match(name)) for name in called], bool)
        opens |= allocates & (calls.start_ns < (self.starts[0] if self.starts else 0))
        opens[sorted(self.loads_code())] = True
        waits = ["Synchronize" in name for name in called]
        loads = [name.startswith("enumerate(DataLoader)") for name in ran]
        return [
            ("profiler", spans, np.flatnonzero(spans.profiler & ~lazy)),
            ("compilation", trace.ops, rows(trace.ops, [compiles(name) for name in ran])),
            ("compilation", spans, rows(spans, of_user.tolist())),
            ("data_loading", trace.ops, rows(trace.ops, loads)),
            ("memory_allocation", calls, rows(calls, (allocates & ~opens).tolist())),
            ("first_use", spans, np.flatnonzero(lazy)),
            ("first_use", calls, rows(calls, opens.tolist())),
            ("host_to_device_copy", calls, np.array(sorted(self.staging()), np.intp)),
            ("synchronisation", calls, rows(calls, waits)),
        ]

    def loads_code(self) -> set[int]:
        """Calls of over a millisecond that launch a kernel whose name was never launched before."""
        kernels, calls, seen, slow = self.trace.kernels, self.trace.launches, set(), set()
        launched = [
            row for row in np.flatnonzero(kernels.launch >= 0) if kernels.kind[row] == RecordKind.KERNEL
        ]
        for row in sorted(launched, key=lambda row: (calls.start_ns[kernels.launch[row]], row)):
            call = int(kernels.launch[row])
            if kernels.name[row] not in seen and calls.end_ns[call] - calls.start_ns[call] > LONGEST_NS:
                slow.add(call)
            seen.add(kernels.name[row])
        return slow

    def staging(self) -> set[int]:
        kernels, names = self.trace.kernels, self.trace.names
        return {
            int(kernels.launch[row])
            for row in np.flatnonzero((kernels.kind == RecordKind.MEMCPY) & (kernels.launch >= 0))
            if "HtoD" in names[kernels.name[row]] and "Pinned" not in names[kernels.name[row]]
        }

    @staticmethod
    def open_at(table: Table, rows: Rows, t: int) -> list[int]:
        chosen: list[int] = rows[(table.start_ns[rows] <= t) & (t < table.end_ns[rows])].tolist()
        return chosen

    def who_launches(self, t: int) -> int | None:
        """The thread that is in a call at `t`, or between two of its own that nothing separates."""
        begun = bisect_right(self.starts, t)
        inside = [call for call in self.calls[max(0, begun - 200) : begun] if call.end > t]
        if inside:
            return inside[0].thread
        if not 0 < begun < len(self.calls):
            return None
        before, after = self.calls[begun - 1], self.calls[begun]
        near = after.start - max(call.end for call in self.calls[max(0, begun - 200) : begun]) < LONGEST_NS
        return before.thread if near and before.thread == after.thread else None

    @cached_property
    def held_up(self) -> list[Span]:
        """When something with rows of its own holds the device up, as disjoint spans."""
        spans = []
        borders = sorted({border for call in self.calls for border in (call.start, call.end)})
        for cause, table, rows in self.sources:
            for row in rows.tolist():
                start, end = int(table.start_ns[row]), int(table.end_ns[row])
                if cause in ("profiler", "first_use") and table is self.trace.spans:
                    spans.append((start, end))
                    continue
                cuts = [start, *borders[bisect_right(borders, start) : bisect_left(borders, end)], end]
                spans += [
                    (a, b) for a, b in pairwise(cuts)
                    if a < b and self.who_launches(a) in (None, int(table.thread[row]))
                ]  # fmt: skip
        return joined(spans)

    # What the host did.

    @cached_property
    def pauses(self) -> list[Pause]:
        in_calls = [(call.start, call.end) for call in self.calls]
        ends = [self.window[0], self.window[1], *(border for span in self.held_up for border in span),
                *(border for span in in_calls for border in span)]  # fmt: skip
        first, last = min(ends), max(ends)
        whole = [(first, first), *joined(in_calls + self.held_up), (last, last)]
        starts = set(self.starts)
        return [
            Pause(end, start, following := bisect_left(self.starts, start), start in starts,
                  tuple(self.held_in(end, start, following)) if start - end < LONGEST_NS else ())
            for (_, end), (start, _) in pairwise(whole) if start > end
        ]  # fmt: skip

    def held_in(self, start: int, end: int, following: int) -> list[Span]:
        """What began and ended within a pause, took over 0.3 ms and has a name."""
        threads = {self.calls[at].thread for at in (following - 1, following) if 0 <= at < len(self.calls)}
        spans = []
        for opens, closes, thread in self.long_named:
            if opens >= end:
                break
            if start <= opens and closes <= end and thread in threads:
                spans.append((opens, closes))
        return joined(spans)

    @cached_property
    def long_named(self) -> list[tuple[int, int, int]]:
        every = [
            (int(table.start_ns[row]), int(table.end_ns[row]), int(table.thread[row]))
            for table, rows in self.naming
            for row in rows[table.end_ns[rows] - table.start_ns[rows] >= DISPATCH_NS].tolist()
        ]
        return sorted(every)

    @cached_property
    def naming(self) -> list[tuple[Ops | Spans, Rows]]:
        """What may name the work of the host: operators, annotations, functions of the user, of libraries."""
        trace, ops, spans = self.trace, self.trace.ops, self.trace.spans
        names = trace.names
        of_step = np.array([is_step_name(name) for name in names], bool)
        library = np.array([of_library(name) for name in names], bool)[spans.name]
        annotations = ops.kind == OpKind.ANNOTATION
        tables: list[tuple[Ops | Spans, Rows]] = [
            (ops, np.flatnonzero(~(annotations & of_step[ops.name]))),
            (spans, np.flatnonzero(~spans.profiler & ~library)),
            (spans, np.flatnonzero(~spans.profiler & library)),
        ]
        return [
            (table, np.array([row for row in rows.tolist() if not self.is_a_step(table, row)], np.intp))
            for table, rows in tables
        ]

    @cached_property
    def steps(self) -> tuple[list[Span], list[int]]:
        kernels = self.trace.kernels
        launched = sorted(moment for moment in kernels.launch_ns.tolist() if moment >= 0)
        steps = [(step.start_ns, step.end_ns) for step in self.trace.steps]
        return steps or ([(launched[0], launched[-1] + 1)] if launched else []), launched

    def is_a_step(self, table: Ops | Spans, row: int) -> bool:
        """Half of a step's time and of what it launches, and nine tenths of one of both."""
        start, end = int(table.start_ns[row]), int(table.end_ns[row])
        steps, launched = self.steps
        at = bisect_right(steps, (start, sys.maxsize)) - 1
        for opens, closes in steps[max(at, 0) : at + 2]:
            a, b = max(start, opens), min(end, closes)
            time = (b - a) / max(closes - opens, 1)
            work = (bisect_left(launched, b) - bisect_left(launched, a)) / max(
                bisect_left(launched, closes) - bisect_left(launched, opens), 1)  # fmt: skip
            if min(time, work) >= 0.5 and max(time, work) >= 0.9:
                return True
        return False

    @cached_property
    def longest_ns(self) -> float:
        """How long the host may be on its way to the next launch."""
        ways = [pause.other_ns for pause in self.pauses if pause.at_call]
        return min(max(10 * statistics.median(ways) if ways else 0, DISPATCH_NS), LONGEST_NS)

    @cached_property
    def operators_run(self) -> list[Span]:
        ops = self.trace.ops
        rows = np.flatnonzero(ops.kind != OpKind.ANNOTATION)
        return joined(list(zip(ops.start_ns[rows].tolist(), ops.end_ns[rows].tolist(), strict=True)))

    def launching(self, pause: Pause) -> bool:
        if pause.following >= len(self.calls) or pause.length >= LONGEST_NS:
            return False
        if pause.other_ns < self.longest_ns:
            return True
        run = sum(max(0, min(end, pause.end) - max(start, pause.start)) for start, end in self.operators_run)
        return 2 * run >= pause.length

    def of_host(self, t: int) -> str:
        trace, kernels = self.trace, self.trace.kernels
        real = kernels.end_ns > kernels.start_ns
        gap = int(max(self.window[0], kernels.end_ns[kernels.start_ns <= t].max(initial=self.window[0])))
        after = np.flatnonzero(real & (kernels.start_ns > t))
        until = self.window[1]
        if len(after):
            until = min(until, int(kernels.start_ns[after[0]]))
            launch = int(kernels.launch[after[0]])
            if launch < 0 or trace.launches.start_ns[launch] < gap:
                return "unknown"
            until = min(until, int(trace.launches.end_ns[launch]) + ARRIVES_NS)
            if t >= until:
                return "unknown"
            if t >= trace.launches.start_ns[launch]:
                return "launch_gap"
        pause = next((pause for pause in self.pauses if pause.start <= t < pause.end), None)
        if pause is None:
            return "launch_gap"  # in a call
        inside = any(start <= t < end for start, end in pause.held)
        if self.launching(pause):
            return "host_work" if inside else "launch_gap"
        opened = self.operator_of_next(pause)
        if t >= opened:
            return "launch_gap"
        if inside:
            return "host_work"
        return "host_work" if self.has_a_name(t, pause, opened, gap, until) else "unknown"

    def operator_of_next(self, pause: Pause) -> int:
        """When the operator begins that makes the call at the end of a pause."""
        call = self.calls[pause.following] if pause.at_call else None
        if call is None or call.op < 0:
            return pause.end
        opened = int(self.trace.ops.start_ns[call.op])
        near = opened < pause.end and pause.end - opened < LONGEST_NS
        return max(opened, pause.start) if near else pause.end

    def has_a_name(self, t: int, pause: Pause, opened: int, gap: int, until: int) -> bool:
        """Whether a row covers most of the time around `t` in which nothing is launched."""
        start = max([pause.start, *(end for _, end in pause.held if end <= t)])
        end = min([opened, *(begins for begins, _ in pause.held if begins > t)])
        asked = max(start, gap), min(end, until)
        if pause.following < len(self.calls):
            thread = self.calls[pause.following].thread
        else:
            thread = int(np.bincount(self.trace.launches.thread).argmax())
        if asked[1] - asked[0] >= LONGEST_NS:
            start, end = asked
        elif end - start < DISPATCH_NS or not self.calls:
            return False
        return next(named for a, b, named in self.pieces(start, end, thread) if a <= t < b)

    def pieces(self, start: int, end: int, thread: int) -> Iterator[tuple[int, int, bool]]:
        """A stretch cut where what covers it begins and ends; whether each part has a name."""
        covers = [self.overlapping(table, rows, start, end, thread) for table, rows in self.naming]
        for some in (covers[0] + covers[1], covers[2]):
            most = [c for c in some if 2 * (min(c[1], end) - max(c[0], start)) >= end - start]
            if most:
                a, b = max(most, key=lambda c: (c[0], -c[1]))
                yield from self.around(start, max(a, start), min(b, end), end, thread)
                return
        long = [c for some in covers for c in some if min(c[1], end) - max(c[0], start) >= LONGEST_NS]
        parts = apart(start, end, long)
        if len(parts) > 1:
            for a, b in parts:
                yield from self.pieces(a, b, thread)
            return
        if parts:
            a, b = max(long, key=lambda c: min(c[1], end) - max(c[0], start))
            yield from self.around(start, max(a, start), min(b, end), end, thread)
            return
        covered = sum(min(b, end) - max(a, start) for a, b in outermost(covers[0]))
        yield start, end, bool(covers[0]) and 2 * covered >= end - start

    def around(self, start: int, a: int, b: int, end: int, thread: int) -> Iterator[tuple[int, int, bool]]:
        """A named middle; what is short beside it goes with it."""
        if a - start >= LONGEST_NS:
            yield from self.pieces(start, a, thread)
            start = a
        if end - b >= LONGEST_NS:
            yield from self.pieces(b, end, thread)
            end = b
        yield start, end, True

    @staticmethod
    def overlapping(table: Ops | Spans, rows: Rows, start: int, end: int, thread: int) -> list[Span]:
        there = (table.thread[rows] == thread) & (table.start_ns[rows] < end) & (table.end_ns[rows] > start)
        chosen = rows[there]
        return list(zip(table.start_ns[chosen].tolist(), table.end_ns[chosen].tolist(), strict=True))


def outermost(spans: list[Span]) -> list[Span]:
    """Those that lie in no other one."""
    kept: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def apart(start: int, end: int, long: list[Span]) -> list[Span]:
    """[start, end) cut where what is long and outermost begins and ends; a short rest goes beside it."""
    parts: list[Span] = []
    reach = start
    for begins, ends in sorted((max(a, start), min(b, end)) for a, b in long):
        if ends <= reach:
            continue
        begins = max(begins, reach)
        if begins - start >= LONGEST_NS:
            parts.append((start, begins))
            start = begins
        parts.append((start, ends))
        start = reach = ends
    if parts and end - start < LONGEST_NS:
        parts[-1] = (parts[-1][0], end)
    elif parts:
        parts.append((start, end))
    return parts
