"""Nesting: which host interval encloses which, from times alone."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.trace import Bools, Ids, Ints

_AT_ONCE = 1 << 16  # rows turned into Python integers at a time
_NEVER = 2**63 - 1


class Nesting(msgspec.Struct, frozen=True, eq=False):
    """Of each interval: its innermost encloser on the same thread (-1: none), and its end within that."""

    parent: Ids
    end_ns: Ints


def order(thread: Ids, start_ns: Ints, end_ns: Ints) -> Ints:
    """Rows by (thread, start, longest first, file order): an encloser always comes before what it holds."""
    return np.lexsort((start_ns - end_ns, start_ns, thread))


def is_in_order(thread: Ids, start_ns: Ints, end_ns: Ints) -> bool:
    """Whether they lie so already, as those of one thread do in most files."""
    later = (start_ns[1:] > start_ns[:-1]) | ((start_ns[1:] == start_ns[:-1]) & (end_ns[1:] <= end_ns[:-1]))
    return bool(((thread[1:] > thread[:-1]) | ((thread[1:] == thread[:-1]) & later)).all())


def nest(thread: Ids, start_ns: Ints, end_ns: Ints, annotation: Bools, tolerance_ns: int) -> Nesting:
    """Nest intervals that are in `order`; one pass with a stack a thread, O(n).

    Operators of a thread nest by construction, so one that ends after its encloser has been cut by
    the clock and ends with it. Two exceptions: annotations are opened and closed at will, and one
    that is outlived does not enclose; and of two neighbors that overlap by no more than
    `tolerance_ns`, the resolution of the clock, the second is not inside the first.
    """
    parent = np.empty(len(start_ns), np.int32)
    end = end_ns.copy()
    borders = np.flatnonzero(np.diff(thread)) + 1
    for low, high in zip([0, *borders.tolist()], [*borders.tolist(), len(thread)], strict=True):
        _nest_thread(low, high, start_ns, end, annotation, parent, tolerance_ns)
    return Nesting(parent, end)


def _nest_thread(
    low: int, high: int, start_ns: Ints, end_ns: Ints, annotation: Bools, parent: Ids, tolerance: int
) -> None:
    """Fill `parent` and clamp `end_ns` in rows low:high, all of one thread."""
    rows, ends = [-1], [_NEVER]  # the intervals open at this point, outermost first
    for begin in range(low, high, _AT_ONCE):
        stop = min(begin + _AT_ONCE, high)
        parents = []
        row = begin
        for start, end in zip(start_ns[begin:stop].tolist(), end_ns[begin:stop].tolist(), strict=True):
            while ends[-1] <= start:
                ends.pop()
                rows.pop()
            if end > ends[-1]:
                while _let_go(start, end, ends[-1], bool(annotation[rows[-1]]), tolerance):
                    ends.pop()
                    rows.pop()
                if end > ends[-1]:
                    end_ns[row] = end = ends[-1]
            parents.append(rows[-1])
            rows.append(row)
            ends.append(end)
            row += 1
        parent[begin:stop] = parents


def _let_go(start: int, end: int, open_end: int, annotation: bool, tolerance: int) -> bool:
    """Whether an open interval that ends at `open_end`, before `end`, does not enclose [start, end]."""
    outlived, overlap = end - open_end, open_end - start
    if annotation:
        return outlived > tolerance
    return outlived > overlap and overlap <= tolerance
