"""What the host did while the device waited for it: launching, or work that has a name in the trace."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceanalyzer.records.trace import Ids, Ints, Ops, Spans, Trace
from traceanalyzer.roofline.intervals import Intervals, common, disjoint, joined, without

# Between two launches the host runs Python and dispatches an operator, which takes 5 to 300 us. What takes
# longer than this without a launch is no launching.
LONGEST_NS = 1_000_000
# On an idle device a kernel starts 1 to 15 us after its launch call returns (99th percentiles in public
# traces of eight GPU models); one that starts later was held up by something the host did not do.
LATENCY_NS = 20_000
_MOST = 0.5  # of a stretch, that something covers which names it
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Waits:
    """Idle stretches by what held the device up; together they are what was asked about."""

    launching: Intervals
    working: Intervals  # on the host; `row` is a name of the trace, -1 where it shows none
    elsewhere: Intervals  # neither: the kernel behind the gap had been launched before it


def waits(trace: Trace, members: Ids, gap_start: Ints, gap_end: Ints, open_ns: Intervals) -> Waits:
    """Sort `open_ns`, parts of the gaps, by what the host did.

    `members`: rows of Trace.kernels of the device. The host holds a gap up until the launch of the kernel
    that ends it has returned and arrived; a gap that no kernel ends, to its end.
    """
    kernels, count = trace.kernels, len(gap_start)
    real = members[kernels.end_ns[members] > kernels.start_ns[members]]
    following = np.searchsorted(kernels.start_ns[real], gap_end)  # members keep the order of their starts
    ended = following < len(real)
    kernel = np.full(count, -1, np.int32)
    kernel[ended] = real[following[ended]]
    call = np.append(kernels.launch, np.int32(-1))[kernel]  # of none, as everywhere below, the last entry
    until = np.where(ended, gap_start, gap_end)
    late = (call >= 0) & (np.append(kernels.launch_ns, -1)[kernel] >= gap_start)
    until[late] = np.minimum(gap_end, np.append(trace.launches.end_ns, 0)[call] + LATENCY_NS)[late]
    until[trace.on_cpu] = gap_end
    held = Intervals(gap_start, until, np.arange(count, dtype=np.int32))
    held = held.chosen(np.flatnonzero(until > gap_start))
    mine, _ = common(open_ns, held)
    call_start, call_end = _launching(trace, members)
    opens = np.concatenate((call_start, np.append(kernels.launch_ns, 0)[kernel][late]))
    closes = np.concatenate((call_end, until[late]))  # what ends a gap has to arrive too
    launching = disjoint(opens, closes, np.full(len(opens), -1, np.int32))
    short = np.flatnonzero((mine.length_ns < LONGEST_NS) & late[mine.row])
    long = np.flatnonzero((mine.length_ns >= LONGEST_NS) | ~late[mine.row])
    calls, _ = common(mine.chosen(long), launching)
    rest = without(mine.chosen(long), launching)
    thread = np.where(late, np.append(trace.launches.thread, np.int32(-1))[call], -1)[rest.row]
    return Waits(joined(mine.chosen(short), calls), _named(trace, rest, thread), without(open_ns, held))


def _launching(trace: Trace, members: Ids) -> tuple[Ints, Ints]:
    """When the host was launching work of the device: in its calls, and between those that follow closely.

    Before one that follows nothing closely, from where the operator that calls it begins.
    """
    kernels, launches = trace.kernels, trace.launches
    launched = members[kernels.launch[members] >= 0]
    calls, first = np.unique(kernels.launch[launched], return_index=True)
    op = kernels.op[launched][first]
    order = np.argsort(launches.start_ns[calls], kind="stable")
    start, end, op = launches.start_ns[calls][order], launches.end_ns[calls][order], op[order]
    if not len(calls):
        return start, end
    before = np.concatenate((start[:1], np.maximum.accumulate(end)[:-1]))
    close = (start - before < LONGEST_NS) & (start >= before)
    opened = np.where(op >= 0, np.append(trace.ops.start_ns, 0)[op], start)
    opened = np.where(start - opened < LONGEST_NS, np.minimum(opened, start), start)
    return np.where(close, before, opened), end


def _named(trace: Trace, stretches: Intervals, thread: Ids) -> Intervals:
    """Cut where what the host did begins and ends, each with the row of its name; -1 where none is known."""
    launches = np.bincount(trace.launches.thread) if len(trace.launches) else np.zeros(1, np.int64)
    main = int(launches.argmax())
    host = _Host(trace)
    long = stretches.length_ns >= LONGEST_NS
    pieces = [
        piece for row in np.flatnonzero(long).tolist()
        for piece in host.pieces(int(stretches.start_ns[row]), int(stretches.end_ns[row]),
                                 int(thread[row]) if thread[row] >= 0 else main)
    ]  # fmt: skip
    columns = np.array(pieces, np.int64).reshape(-1, 3)
    named = Intervals(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int32))
    return joined(stretches.chosen(np.flatnonzero(~long)).without_rows(), named)


class _Host:
    """Operators, annotations and Python functions of the host, to look up what covers a stretch."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        starts, ends = [step.start_ns for step in trace.steps], [step.end_ns for step in trace.steps]
        self._is_step = np.isin(trace.ops.start_ns, starts) & np.isin(trace.ops.end_ns, ends)
        self._library = np.zeros(len(trace.names), bool)
        for row in np.unique(trace.spans.name).tolist():
            self._library[row] = _is_of_a_library(trace.names[row])

    def pieces(self, start: int, end: int, thread: int) -> Iterator[tuple[int, int, int]]:
        """(start, end, row in Trace.names or -1) of what a stretch on the thread consists of.

        A name has the part that it covers; what is left over on a side is looked at again, where it is long.
        """
        left = [(start, end)]
        while left:
            start, end = left.pop()
            name, opens, closes = self._most(start, end, thread)
            if opens - start >= LONGEST_NS:
                left.append((start, opens))
                start = opens
            if end - closes >= LONGEST_NS:
                left.append((closes, end))
                end = closes
            yield start, end, name

    def _most(self, start: int, end: int, thread: int) -> tuple[int, int, int]:
        """The name that covers most of [start, end), and from where to where.

        That of the innermost interval that covers most of it; else of the interval that covers most, if for
        long; else of operators that together cover most, the one with most time; else -1.
        """
        ops, spans = self._trace.ops, self._trace.spans
        on_host = self._open_or_begun(start, end, thread)
        frames = np.flatnonzero(
            (spans.thread == thread) & ~spans.profiler & (spans.start_ns < end) & (spans.end_ns > start)
        )
        of_user = frames[~self._library[spans.name[frames]]]
        tables = ((ops, on_host), (spans, of_user), (spans, frames))
        covering = [_Cover.of(table, _innermost(table, rows, start, end)) for table, rows in tables]
        inner = [cover for cover in covering[:2] if cover is not None] or [c for c in covering if c]
        if inner:
            return max(inner, key=lambda cover: cover.start).clipped(start, end)
        longest = [
            cover for table, rows in tables
            if (cover := _Cover.of(table, _longest(table, rows, start, end)))
        ]  # fmt: skip
        if longest:
            return max(longest, key=lambda cover: cover.covered(start, end)).clipped(start, end)
        return self._together(on_host, start, end), start, end

    def _open_or_begun(self, start: int, end: int, thread: int) -> Rows:
        """Rows of Trace.ops on the thread that are open in [start, end)."""
        ops = self._trace.ops
        low, high = np.searchsorted(ops.thread, (thread, thread + 1))
        begun = low + np.searchsorted(ops.start_ns[low:high], (start, end))
        open_ = []
        row = int(begun[0]) - 1 if begun[0] > low else -1
        while row >= 0:
            if ops.end_ns[row] > start:
                open_.append(row)
            row = int(ops.parent[row])
        rows = np.concatenate((np.array(open_, np.int64), np.arange(*begun)))
        named: Rows = rows[~self._is_step[rows]]
        return named

    def _together(self, rows: Rows, start: int, end: int) -> int:
        ops = self._trace.ops
        outermost = rows[~np.isin(ops.parent[rows], rows)]
        parts: defaultdict[int, int] = defaultdict(int)
        for row in outermost.tolist():
            parts[int(ops.name[row])] += min(int(ops.end_ns[row]), end) - max(int(ops.start_ns[row]), start)
        if sum(parts.values()) < _MOST * (end - start):
            return -1
        return max(parts, key=lambda name: (parts[name], -name))


@dataclass(frozen=True, slots=True)
class _Cover:
    """One interval of the host."""

    name: int
    start: int
    end: int

    @classmethod
    def of(cls, table: Ops | Spans, rows: Rows) -> _Cover | None:
        """The first of the rows; None where there is none."""
        if not len(rows):
            return None
        row = int(rows[0])
        return cls(int(table.name[row]), int(table.start_ns[row]), int(table.end_ns[row]))

    def covered(self, start: int, end: int) -> int:
        """How much of [start, end) it covers, in ns."""
        return min(self.end, end) - max(self.start, start)

    def clipped(self, start: int, end: int) -> tuple[int, int, int]:
        """Its name, and the part of [start, end) that it covers."""
        return self.name, max(self.start, start), min(self.end, end)


def _is_of_a_library(frame: str) -> bool:
    """Of PyTorch, the interpreter or the standard library: true, but not where a user would look."""
    package = re.split(r"[/.(]", frame, maxsplit=1)[0]
    return frame.startswith("<") or package == "torch" or package in sys.stdlib_module_names


def _innermost(table: Ops | Spans, rows: Rows, start: int, end: int) -> Rows:
    """The row begun last among those that cover most of [start, end); empty where none does."""
    most = rows[_covered(table, rows, start, end) >= _MOST * (end - start)]
    return most[np.argsort(table.start_ns[most], kind="stable")[-1:]]


def _longest(table: Ops | Spans, rows: Rows, start: int, end: int) -> Rows:
    """The row that covers most of [start, end), if for long; empty where none does."""
    covered = _covered(table, rows, start, end)
    longest = np.argsort(-covered, kind="stable")[:1]
    return rows[longest[covered[longest] >= LONGEST_NS]]


def _covered(table: Ops | Spans, rows: Rows, start: int, end: int) -> Ints:
    """How much of [start, end) each row covers, in ns."""
    covered: Ints = np.minimum(table.end_ns[rows], end) - np.maximum(table.start_ns[rows], start)
    return covered
