"""Long columns in parts: what is made of a part is of its size, however long the trace."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.records.trace import Ints

AT_ONCE = 1 << 16  # rows looked at together, unless more of them lie over each other


def blocks(count: int) -> Iterator[slice]:
    """Rows from 0 to `count`, AT_ONCE at a time."""
    return (slice(low, low + AT_ONCE) for low in range(0, count, AT_ONCE))


def stretches(start_ns: Ints, end_ns: Ints, sizes: Ints | None = None) -> Iterator[slice]:
    """Intervals in parts of about AT_ONCE rows, cut where nothing runs; O(n).

    No interval of a later part begins before, or when, one of an earlier part ends. `sizes`: of each interval
    the rows that it stands for, one where nothing is given.
    """
    count = len(start_ns)
    rows = np.arange(1, count + 1) if sizes is None else np.cumsum(sizes)
    if not count or rows[-1] <= AT_ONCE:
        yield slice(0, count)
        return
    idle = np.minimum.accumulate(start_ns[::-1])[::-1][1:] > np.maximum.accumulate(end_ns)[:-1]
    borders = np.append(np.flatnonzero(idle) + 1, count)
    until = rows[borders - 1]
    low = before = 0
    while low < count:
        at = min(int(np.searchsorted(until, before + AT_ONCE)), len(borders) - 1)
        yield slice(low, int(borders[at]))
        low, before = int(borders[at]), int(until[at])
