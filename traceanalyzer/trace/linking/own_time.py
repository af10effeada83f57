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
    start, end, owner = _pieces(start_ns, end_ns, parent)
    count = len(start_ns)
    bounds = np.searchsorted(owner, np.arange(count + 1))
    first, last = start[bounds[:-1]], end[bounds[1:] - 1]
    duration = np.zeros(count, np.int64)
    np.add.at(duration, owner, end - start)
    by_order = np.lexsort((name_rank, lane, last, first)).astype(np.int32)
    position = np.empty(count, np.int32)
    position[by_order] = np.arange(count, dtype=np.int32)
    record = position[owner]
    by_record = np.lexsort((start, record))
    pieces = Pieces(start[by_record], end[by_record], record[by_record])
    return OwnTimes(by_order, first[by_order], last[by_order], duration[by_order], pieces)


def _pieces(start_ns: Ints, end_ns: Ints, parent: Ids) -> tuple[Ints, Ints, Ids]:
    """Start, end and row of every piece by row and start."""
    inner = np.flatnonzero(parent >= 0)
    inner = inner[np.argsort(parent[inner], kind="stable")]  # rows go by start, so children do too
    # Each interval opens a stretch at its own start and at the end of each child; the stretch ends
    # where the next child starts, or with the interval. Children end in the order of their starts.
    every = np.arange(len(start_ns), dtype=np.int32)
    opener = np.concatenate((every, parent[inner]))
    opened = np.concatenate((start_ns, end_ns[inner]))
    closer = np.concatenate((parent[inner], every))
    closed = np.concatenate((start_ns[inner], end_ns))
    by_open, by_close = np.argsort(opener, kind="stable"), np.argsort(closer, kind="stable")
    start, end, owner = opened[by_open], closed[by_close], opener[by_open]
    real = end > start
    empty = np.ones(len(start_ns), bool)
    empty[owner[real]] = False
    bare = every[empty]
    start = np.concatenate((start[real], start_ns[bare]))
    end = np.concatenate((end[real], start_ns[bare]))
    owner = np.concatenate((owner[real], bare))
    by_owner = np.argsort(owner, kind="stable")
    return start[by_owner], end[by_owner], owner[by_owner]
