"""Long columns in parts: what is made of a part is of its size, however long the trace."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.records.trace import Ints

AT_ONCE = 1 << 14  # rows looked at together, unless more of them lie over each other
_NEVER = 2**63 - 1


def blocks(count: int) -> Iterator[slice]:
    """Rows from 0 to `count`, AT_ONCE at a time."""
    return (slice(low, low + AT_ONCE) for low in range(0, count, AT_ONCE))


def stretches(start_ns: Ints, end_ns: Ints, sizes: Ints | None = None) -> Iterator[slice]:
    """Intervals in parts of AT_ONCE to twice as many rows, cut where nothing runs; O(n).

    No interval of a later part begins before, or when, one of an earlier part ends. A part is longer where
    no such moment comes. `sizes`: of each interval the rows that it stands for, else one.
    """
    edges = _edges(len(start_ns), sizes)
    each = list(zip(edges[:-1], edges[1:], strict=True))
    first = np.array([start_ns[low:high].min() for low, high in each] or [0], np.int64)
    later = np.append(np.minimum.accumulate(first[::-1])[::-1][1:], _NEVER)
    opens, reach = [], -_NEVER
    for (low, high), next_ns in zip(each, later, strict=False):
        latest = np.maximum.accumulate(np.append(reach, end_ns[low:high]))
        earliest = np.minimum.accumulate(np.append(start_ns[low:high], next_ns)[::-1])[::-1]
        idle = np.flatnonzero(earliest[:-1] > latest[:-1])
        opens += (low + idle[:1]).tolist()
        reach = latest[-1]
    return (slice(low, high) for low, high in zip(opens, [*opens[1:], len(start_ns)], strict=False))


def _edges(count: int, sizes: Ints | None) -> list[int]:
    """Where about AT_ONCE rows end, one behind the other."""
    if sizes is None:
        return [*range(0, count, AT_ONCE), count]
    rows = np.cumsum(sizes)
    edges = np.searchsorted(rows, np.arange(0, rows[-1], AT_ONCE)) if count else ()
    return [*np.unique(edges).tolist(), count]
