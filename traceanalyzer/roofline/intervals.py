"""Sets of instants as sorted, disjoint, half-open intervals [start, end) in int64 ns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records.stretches import blocks
from traceanalyzer.records.trace import Ids, Ints
from traceanalyzer.roofline.attribution import clip, union

_EVER = np.iinfo(np.int64)


class Intervals(msgspec.Struct, frozen=True, eq=False):
    """Disjoint intervals by start, and a row of some table that each stands for; -1: of none."""

    start_ns: Ints
    end_ns: Ints
    row: Ids

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def length_ns(self) -> Ints:
        """Of each."""
        return self.end_ns - self.start_ns

    def without_rows(self) -> Intervals:
        """The same instants, that stand for no row."""
        return Intervals(self.start_ns, self.end_ns, np.full(len(self), -1, np.int32))

    def chosen(self, rows: npt.NDArray[np.intp] | slice) -> Intervals:
        """Those at these places, in their order."""
        return Intervals(self.start_ns[rows], self.end_ns[rows], self.row[rows])


def gaps(start_ns: Ints, end_ns: Ints, window: tuple[int, int]) -> tuple[Ints, Ints]:
    """The stretches of `window` that no interval covers, in order."""
    start, end = union(*clip(start_ns, end_ns, window))
    left = np.concatenate(([window[0]], end)).astype(np.int64)
    right = np.concatenate((start, [window[1]])).astype(np.int64)
    real = right > left
    return left[real], right[real]


def disjoint(start_ns: Ints, end_ns: Ints, row: Ids) -> Intervals:
    """Any intervals, each cut where one that began before it still runs."""
    order = np.argsort(start_ns, kind="stable")
    start, end, row = start_ns[order], end_ns[order], row[order]
    if len(start):
        reach = np.maximum.accumulate(end)
        start = np.maximum(start, np.concatenate((start[:1], reach[:-1])))
    real = end > start
    return Intervals(start[real], end[real], row[real])


def common(these: Intervals, other: Intervals) -> tuple[Intervals, Ids]:
    """The instants in both, with the rows of `other`; and of each piece the row of `these`.

    O((n + m) log n).
    """
    count, first, sizes = len(these), np.empty(len(these), np.int32), np.empty(len(these), np.int32)
    for part in blocks(count):
        first[part] = np.searchsorted(other.end_ns, these.start_ns[part], side="right")
        last = np.searchsorted(other.start_ns, these.end_ns[part], side="left")
        sizes[part] = np.maximum(last - first[part], 0)
    pieces = int(sizes.sum(dtype=np.int64))
    start, end = np.empty(pieces, np.int64), np.empty(pieces, np.int64)
    row, which = np.empty(pieces, np.int32), np.empty(pieces, np.int32)
    done = 0
    for part in blocks(count):
        until = np.cumsum(sizes[part], dtype=np.int64)
        here = slice(done, done + int(until[-1]))
        mine = np.repeat(np.arange(part.start, part.start + len(until), dtype=np.int32), sizes[part])
        there = np.repeat(first[part] - until + sizes[part], sizes[part]) + np.arange(len(mine))
        start[here] = np.maximum(these.start_ns[mine], other.start_ns[there])
        end[here] = np.minimum(these.end_ns[mine], other.end_ns[there])
        row[here], which[here] = other.row[there], mine
        done = here.stop
    return Intervals(start, end, row), which


def time_in(these: Intervals, other: Intervals) -> Ints:
    """Of each of `these` how many ns are in the other, too."""
    total = np.zeros(len(these), np.int64)
    for part in blocks(len(these)):
        both, which = common(these.chosen(part), other)
        np.add.at(total[part], which, both.length_ns)
    return total


def without(these: Intervals, other: Intervals) -> Intervals:
    """The instants of `these` that are not in `other`, with the rows of `these`."""
    start = np.concatenate(([_EVER.min], other.end_ns))
    end = np.concatenate((other.start_ns, [_EVER.max]))
    real = end > start
    start, end = start[real], end[real]
    left, which = common(these, Intervals(start, end, np.broadcast_to(np.int32(-1), len(start))))
    return Intervals(left.start_ns, left.end_ns, these.row[which])


def joined(*parts: Intervals) -> Intervals:
    """All of them, which have no instant in common, by start."""
    return together(list(_by_time(parts)))


def merged(*parts: Intervals) -> Intervals:
    """Those that overlap cut where one that began before still runs."""
    cut: list[Intervals] = []
    reach = _EVER.min
    for every in _by_time(parts):
        latest = np.maximum.accumulate(np.append(reach, every.end_ns))
        start = np.maximum(every.start_ns, latest[:-1])
        real = every.end_ns > start
        cut.append(Intervals(start[real], every.end_ns[real], every.row[real]))
        reach = latest[-1]
    return together(cut)


def covered(*parts: Intervals) -> Intervals:
    """The instants in any of them, that stand for no row; none of these intervals touches another."""
    each = [union(every.start_ns, every.end_ns) for every in _by_time(parts)]
    start, end = union(*(np.concatenate(columns) for columns in zip(*each, strict=True)))
    return Intervals(start, end, np.broadcast_to(np.int32(-1), len(start)))


def _by_time(parts: Sequence[Intervals]) -> Iterator[Intervals]:
    """All of them by start, some at a time; at least once."""
    cuts = np.sort([ns for part in parts for each in blocks(len(part)) for ns in part.start_ns[each][:1]])
    edges = [[0, *np.searchsorted(part.start_ns, cuts).tolist(), len(part)] for part in parts]
    for bounds in zip(*map(pairwise, edges), strict=True):
        here = together([part.chosen(slice(*each)) for part, each in zip(parts, bounds, strict=True)])
        yield here.chosen(np.argsort(here.start_ns, kind="stable"))


def together(parts: Sequence[Intervals]) -> Intervals:
    """One behind the other, as they are."""
    start, end, row = (np.concatenate(columns) for columns in
                       zip(*((p.start_ns, p.end_ns, p.row) for p in parts), strict=True))  # fmt: skip
    return Intervals(start, end, row)
