"""Sets of instants as sorted, disjoint, half-open intervals [start, end) in int64 ns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

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

    def chosen(self, rows: npt.NDArray[np.intp]) -> Intervals:
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
    first = np.searchsorted(other.end_ns, these.start_ns, side="right")
    last = np.maximum(np.searchsorted(other.start_ns, these.end_ns, side="left"), first)
    sizes = last - first
    which = np.repeat(np.arange(len(these), dtype=np.int32), sizes)
    opens = np.repeat(first - np.cumsum(sizes) + sizes, sizes)
    there = opens + np.arange(len(which))
    start = np.maximum(these.start_ns[which], other.start_ns[there])
    end = np.minimum(these.end_ns[which], other.end_ns[there])
    return Intervals(start, end, other.row[there]), which


def without(these: Intervals, other: Intervals) -> Intervals:
    """The instants of `these` that are not in `other`, with the rows of `these`."""
    start = np.concatenate(([_EVER.min], other.end_ns))
    end = np.concatenate((other.start_ns, [_EVER.max]))
    real = end > start
    rest = Intervals(start[real], end[real], np.full(np.count_nonzero(real), -1, np.int32))
    left, which = common(these, rest)
    return Intervals(left.start_ns, left.end_ns, these.row[which])


def joined(*parts: Intervals) -> Intervals:
    """All of them, which have no instant in common, by start."""
    start = np.concatenate([part.start_ns for part in parts])
    order = np.argsort(start, kind="stable")
    end, row = np.concatenate([p.end_ns for p in parts]), np.concatenate([p.row for p in parts])
    return Intervals(start[order], end[order], row[order])


def merged(*parts: Intervals) -> Intervals:
    """Those that overlap cut where one that began before still runs."""
    every = together(parts)
    return disjoint(every.start_ns, every.end_ns, every.row)


def together(parts: Sequence[Intervals]) -> Intervals:
    """One behind the other, as they are."""
    start, end, row = (np.concatenate(columns) for columns in
                       zip(*((p.start_ns, p.end_ns, p.row) for p in parts), strict=True))  # fmt: skip
    return Intervals(start, end, row)
