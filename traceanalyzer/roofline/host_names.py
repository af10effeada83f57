"""Names of what the host did: operators, annotations and Python functions."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records.step_names import is_step_name
from traceanalyzer.records.trace import Bools, Ids, Ints, OpKind, Trace, passes
from traceanalyzer.roofline.intervals import Intervals, disjoint, joined, without
from traceanalyzer.roofline.launching import COVERS_MOST_SHARE, DISPATCH_NS, LONGEST_NS, Calls

COVERS_NEARLY_ALL_SHARE = 0.9
Rows = npt.NDArray[np.intp]


class _Table(msgspec.Struct, frozen=True, eq=False):
    """Intervals of the host, sorted by (thread, start, -duration)."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    thread: Ids
    parent: Ids  # the innermost that was open when it began, on its thread
    naming: Bools  # its name may say what the host did

    def open_or_begun(self, start: int, end: int, thread: int) -> Rows:
        """Rows on the thread that may name some of [start, end)."""
        # In the type of the column, which is turned into the other one as a whole if it is not.
        low, high = np.searchsorted(self.thread, np.array((thread, thread + 1), np.int32))
        begun = low + np.searchsorted(self.start_ns[low:high], (start, end))
        open_ = []
        row = int(begun[0]) - 1 if begun[0] > low else -1
        while row >= 0:
            if self.end_ns[row] > start:
                open_.append(row)
            row = int(self.parent[row])
        rows = np.concatenate((np.array(open_, np.int64), np.arange(*begun)))
        named: Rows = rows[self.naming[rows]]
        return named

    def covered(self, rows: Rows, start: int, end: int) -> Ints:
        """How much of [start, end) each row covers, in ns."""
        covered: Ints = np.minimum(self.end_ns[rows], end) - np.maximum(self.start_ns[rows], start)
        return covered

    def innermost(self, rows: Rows, start: int, end: int) -> _Cover | None:
        """The row begun last among those that cover most of [start, end)."""
        most = rows[self.covered(rows, start, end) >= COVERS_MOST_SHARE * (end - start)]
        return self._cover(most[np.argsort(self.start_ns[most], kind="stable")[-1:]])

    def longest(self, rows: Rows, start: int, end: int) -> _Cover | None:
        """The row that covers most of [start, end)."""
        return self._cover(rows[np.argsort(-self.covered(rows, start, end), kind="stable")[:1]])

    def long(self, rows: Rows, start: int, end: int) -> Rows:
        """Those rows that cover much of [start, end)."""
        long: Rows = rows[self.covered(rows, start, end) >= LONGEST_NS]
        return long

    def _cover(self, rows: Rows) -> _Cover | None:
        if not len(rows):
            return None
        row = int(rows[0])
        return _Cover(int(self.name[row]), int(self.start_ns[row]), int(self.end_ns[row]))


class _Cover(msgspec.Struct, frozen=True):
    """One interval of the host."""

    name: int
    start: int
    end: int

    def covered(self, start: int, end: int) -> int:
        """How much of [start, end) it covers, in ns."""
        return min(self.end, end) - max(self.start, start)

    def clipped(self, start: int, end: int) -> tuple[int, int, int]:
        """Its name, and the part of [start, end) that it covers."""
        return self.name, max(self.start, start), min(self.end, end)


class _StepWork(msgspec.Struct, frozen=True, eq=False):
    """The steps on the host, and when work of the device is launched."""

    start_ns: Ints
    end_ns: Ints
    launch_ns: Ints  # of each record of the device, sorted

    @classmethod
    def of(cls, trace: Trace, members: Ids) -> _StepWork:
        """Without steps, all that is launched is one."""
        launched = trace.kernels.launch_ns[members]
        launched.sort(kind="stable")  # nearly in order: records are, too
        launched = launched[np.searchsorted(launched, 0) :]
        if not trace.steps:
            return cls(launched[:1], launched[-1:] + 1, launched)
        steps = [(step.start_ns, step.end_ns) for step in trace.steps]
        start, end = np.array(steps, np.int64).T
        return cls(start, end, launched)

    def enclosed_by(self, start_ns: Ints, end_ns: Ints) -> Bools:
        """Of each interval, whether it is nearly a whole step, by its time and by what it launches.

        It says no more of what the host did than the step's own name.
        """
        enclosed = np.zeros(len(start_ns), bool)
        shortest = int(np.min(self.end_ns - self.start_ns, initial=LONGEST_NS))
        at = np.flatnonzero(end_ns - start_ns >= COVERS_MOST_SHARE * shortest - 1)  # few of very many
        enclosed[at] = self._enclosed(start_ns[at], end_ns[at])
        return enclosed

    def _enclosed(self, start_ns: Ints, end_ns: Ints) -> Bools:
        enclosed = np.zeros(len(start_ns), bool)
        begun = np.searchsorted(self.start_ns, start_ns, side="right") - 1
        for step in (begun, begun + 1):  # in which it begins, and the next
            there = np.flatnonzero((step >= 0) & (step < len(self.start_ns)))
            opens, closes = self.start_ns[step[there]], self.end_ns[step[there]]
            first, last = np.maximum(start_ns[there], opens), np.minimum(end_ns[there], closes)
            time = (last - first) / np.maximum(closes - opens, 1)
            long = time >= COVERS_MOST_SHARE  # only of these what they launch is counted
            there, first, last, opens, closes, time = (
                each[long] for each in (there, first, last, opens, closes, time)
            )
            work = self._launched(first, last) / np.maximum(self._launched(opens, closes), 1)
            most = work >= COVERS_MOST_SHARE
            enclosed[there] |= most & (np.maximum(time, work) >= COVERS_NEARLY_ALL_SHARE)
        return enclosed

    def _launched(self, start: Ints, end: Ints) -> Ints:
        return np.searchsorted(self.launch_ns, end) - np.searchsorted(self.launch_ns, start)


class Host:
    """What the host did, to look up what covers a stretch."""

    def __init__(self, trace: Trace, members: Ids) -> None:
        """Of a step's own annotation, and of what encloses a step's work, nothing is named.

        `members`: rows of Trace.kernels of the device.
        """
        ops, spans = trace.ops, trace.spans
        steps = _StepWork.of(trace, members)
        names_step = (ops.kind == OpKind.ANNOTATION) & passes(trace.names, ops.name, is_step_name)
        names_work = ~names_step & ~steps.enclosed_by(ops.start_ns, ops.end_ns)
        self._ops = _Table(ops.start_ns, ops.end_ns, ops.name, ops.thread, ops.parent, names_work)
        library = passes(trace.names, spans.name, _is_of_a_library)
        of_user = _functions(trace, ~spans.profiler & ~library, steps)
        of_libraries = _functions(trace, ~spans.profiler & library, steps)
        self._tables = (self._ops, of_user, of_libraries)

    def held(self, calls: Calls, pauses: Intervals) -> Intervals:
        """What began and ended within a pause and took longer than dispatch does; the rows are names."""
        of_user = self._within(calls, pauses, *self._tables[:2])
        of_libraries = self._within(calls, pauses, *self._tables[2:])
        return joined(of_user, without(of_libraries, of_user))

    def _within(self, calls: Calls, pauses: Intervals, *tables: _Table) -> Intervals:
        looked_up = []
        for table in tables:
            rows = np.flatnonzero(table.naming & (table.end_ns - table.start_ns >= DISPATCH_NS))
            pause = np.searchsorted(pauses.start_ns, table.start_ns[rows], side="right") - 1
            inside = (pause >= 0) & (table.end_ns[rows] <= np.append(pauses.end_ns, 0)[pause])
            next_call = np.append(pauses.row, np.int32(-1))[pause]
            threads = np.concatenate((calls.thread, [-1, -1])).astype(np.int32)  # none before the first call
            on = (table.thread[rows] == threads[next_call]) | (table.thread[rows] == threads[next_call - 1])
            chosen = rows[inside & on]
            looked_up.append((table.start_ns[chosen], table.end_ns[chosen], table.name[chosen]))
        start, end, name = (np.concatenate(columns) for columns in zip(*looked_up, strict=True))
        order = np.lexsort((-end, start))
        return _by_what_fills_it(start[order], end[order], name[order])

    def pieces(self, start: int, end: int, thread: int) -> Iterator[tuple[int, int, int]]:
        """(start, end, row in Trace.names or -1) of what a stretch on the thread consists of.

        A name has the part that it covers; what is left over on a side is looked at again, where it is long.
        """
        left = [(start, end)]
        while left:
            start, end = left.pop()
            looked_up = [(table, table.open_or_begun(start, end, thread)) for table in self._tables]
            cover = self._innermost(looked_up, start, end)
            parts = [] if cover else _parts(looked_up, start, end)
            if len(parts) > 1:
                left += parts
                continue
            if parts:
                cover = _longest(looked_up, start, end)
            name, opens, closes = cover or (self._together(looked_up[0][1], start, end), start, end)
            if opens - start >= LONGEST_NS:
                left.append((start, opens))
                start = opens
            if end - closes >= LONGEST_NS:
                left.append((closes, end))
                end = closes
            yield start, end, name

    def _innermost(self, looked_up: list[_Found], start: int, end: int) -> tuple[int, int, int] | None:
        """The name that covers most of [start, end), and from where to where: of what began last.

        Of a library only where nothing else covers most of it.
        """
        covering = [table.innermost(rows, start, end) for table, rows in looked_up]
        inner = [cover for cover in covering[:2] if cover is not None] or [c for c in covering if c]
        return max(inner, key=lambda cover: cover.start).clipped(start, end) if inner else None

    def _together(self, rows: Rows, start: int, end: int) -> int:
        ops = self._ops
        outermost = rows[~np.isin(ops.parent[rows], rows)]
        parts: defaultdict[int, int] = defaultdict(int)
        for row, ns in zip(outermost.tolist(), ops.covered(outermost, start, end).tolist(), strict=True):
            parts[int(ops.name[row])] += ns
        if sum(parts.values()) < COVERS_MOST_SHARE * (end - start):
            return -1
        return max(parts, key=lambda name: (parts[name], -name))


_Found = tuple[_Table, Rows]


def _longest(looked_up: list[_Found], start: int, end: int) -> tuple[int, int, int]:
    """The name of the row that covers most of [start, end), and from where to where."""
    covers = [table.longest(rows, start, end) for table, rows in looked_up]
    most = max((c for c in covers if c), key=lambda cover: cover.covered(start, end))
    return most.clipped(start, end)


def _parts(looked_up: list[_Found], start: int, end: int) -> list[tuple[int, int]]:
    """[start, end) cut where what is long and outermost begins and ends; a short rest goes with a neighbor.

    All of it where one such thing has short rests, nothing where there is none.
    """
    long = [(table, table.long(rows, start, end)) for table, rows in looked_up]
    opens = np.concatenate([table.start_ns[rows] for table, rows in long])
    closes = np.concatenate([table.end_ns[rows] for table, rows in long])
    outer = disjoint(np.clip(opens, start, end), np.clip(closes, start, end), np.zeros(len(opens), np.int32))
    parts: list[tuple[int, int]] = []
    for begins, ends in zip(outer.start_ns.tolist(), outer.end_ns.tolist(), strict=True):
        if begins - start >= LONGEST_NS:
            parts.append((start, begins))
            start = begins
        parts.append((start, ends))
        start = ends
    if parts and end - start < LONGEST_NS:
        parts[-1] = (parts[-1][0], end)
    elif parts:
        parts.append((start, end))
    return parts


def _by_what_fills_it(start: Ints, end: Ints, name: Ids) -> Intervals:
    """The outermost intervals, each with the name of the innermost that fills most of it; given by start."""
    places = np.arange(len(start), dtype=np.int32)
    outer = disjoint(start, end, places)
    mine = np.searchsorted(outer.start_ns, start, side="right") - 1
    fills = end - start >= COVERS_MOST_SHARE * outer.length_ns[mine]
    last = outer.row.copy()
    np.maximum.at(last, mine[fills], places[fills])
    return Intervals(outer.start_ns, outer.end_ns, name[last])


def _functions(trace: Trace, chosen: Bools, steps: _StepWork) -> _Table:
    spans, rows = trace.spans, np.flatnonzero(chosen)
    start, end, thread = spans.start_ns[rows], spans.end_ns[rows], spans.thread[rows]
    parent = np.full(len(rows), -1, np.int32)
    open_: list[tuple[int, int, int]] = []  # (row, end, thread)
    for row, (opens, closes, on) in enumerate(
        zip(start.tolist(), end.tolist(), thread.tolist(), strict=True)
    ):
        while open_ and (open_[-1][2] != on or open_[-1][1] <= opens):
            open_.pop()
        if open_:
            parent[row] = open_[-1][0]
        open_.append((row, closes, on))
    return _Table(start, end, spans.name[rows], thread, parent, ~steps.enclosed_by(start, end))


def _is_of_a_library(frame: str) -> bool:
    """Of PyTorch, the interpreter or the standard library: true, but not where a user would look."""
    package = re.split(r"[/.(]", frame, maxsplit=1)[0]
    return frame.startswith("<") or package == "torch" or package in sys.stdlib_module_names
