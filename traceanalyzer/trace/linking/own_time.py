"""Nested intervals: the time of each without those inside it."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.trace import Ids, Ints, Pieces


class OwnTimes(msgspec.Struct, frozen=True, eq=False):
    """In the order of `Kernels`: of each interval its number, its pieces' first start, last end and sum.

    A piece is a stretch that no interval inside covers. What is covered wholly has one piece of length 0 at
    its start.
    """

    interval: Ids
    start_ns: Ints
    end_ns: Ints
    duration_ns: Ints
    pieces: Pieces


def own_times(start_ns: Ints, end_ns: Ints, parent: Ids, lane: Ids, name_rank: Ids) -> OwnTimes:
    """Own times of intervals that are in `order`, none of which ends after its `parent` (-1: none).

    `lane`: the thread or device; `name_rank`: of the names' text. O(n log n).
    """
    start, end, opens = _pieces(start_ns, end_ns, parent)
    sizes = np.diff(opens)
    first, last = start[opens[:-1]], end[opens[1:] - 1]
    duration = np.add.reduceat(end - start, opens[:-1]) if len(sizes) else start
    by_order = np.lexsort((name_rank, lane, last, first)).astype(np.int32)
    sizes = sizes[by_order]
    record = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    by_record = np.repeat(opens[by_order] - np.cumsum(sizes) + sizes, sizes) + np.arange(len(record))
    pieces = Pieces(start[by_record], end[by_record], record)
    return OwnTimes(by_order, first[by_order], last[by_order], duration[by_order], pieces)


def _pieces(start_ns: Ints, end_ns: Ints, parent: Ids) -> tuple[Ints, Ints, Ints]:
    """Start and end of every piece by row and start, and where those of each row begin and the last end.

    An interval opens a stretch at its own start and at the end of each child; the stretch ends where the next
    child starts, or with the interval. Intervals go by start, so children do too, and end in that order.
    """
    inner = np.flatnonzero(parent >= 0)
    inner = inner[np.argsort(parent[inner], kind="stable")].astype(np.int32)
    children = np.bincount(parent[inner], minlength=len(start_ns))
    opens = np.arange(len(start_ns)) + np.cumsum(children) - children  # the place of each one's first stretch
    after_child = parent[inner] + np.arange(1, len(inner) + 1)
    start, end = (np.empty(len(start_ns) + len(inner), np.int64) for _ in range(2))
    start[opens], start[after_child] = start_ns, end_ns[inner]
    end[opens + children], end[after_child - 1] = end_ns, start_ns[inner]
    real = end > start
    if len(opens):
        bare = opens[~np.logical_or.reduceat(real, opens)]
        real[bare], end[bare] = True, start[bare]
    counted = np.append(0, np.cumsum(real))
    return start[real], end[real], counted[np.append(opens, len(real))]
