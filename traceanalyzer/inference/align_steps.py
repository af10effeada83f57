"""The operators of one step, found again in a timed one.

Training repeats itself: the two steps call the same operators in the same order, thread by thread. Where
they differ (a logged step, another branch), what stands before and behind the difference still matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from traceanalyzer.records.trace import Ids, OpKind, Step, Trace

_MOST_DIFFERENCES = 1000  # operators that only one of two threads has: beyond, the two are not compared


def matched(
    names: Sequence[str], threads: Sequence[int], trace: Trace, timed: Step, margin: int = 0
) -> Ids:  # fmt: skip
    """Row in Trace.ops of each operator of the other step; -1 where the timed step has no such one.

    `margin`: operators that a match has to be away from the nearest difference.
    """
    ops = trace.ops
    inside = (ops.start_ns >= timed.start_ns) & (ops.start_ns < timed.end_ns)
    rows = np.flatnonzero(inside & np.isin(ops.kind, (OpKind.OP, OpKind.AUTOGRAD, OpKind.COMPILED)))
    row_of = np.full(len(names), -1, np.int32)
    ours = _by_thread(threads, range(len(names)))
    theirs = _by_thread(ops.thread[rows].tolist(), rows.tolist())
    for mine, its in zip(ours, theirs, strict=False):  # both by their first operator
        left = [names[row] for row in mine]
        right = [trace.names[ops.name[row]] for row in its]
        for a, b, size in _far_from_differences(left, right, margin):
            row_of[mine[a : a + size]] = its[b : b + size]
    return row_of


def _far_from_differences(
    left: Sequence[str], right: Sequence[str], margin: int
) -> Iterator[tuple[int, int, int]]:
    """As `_common`, without what is within `margin` of where one side has something else."""
    ends = len(left), len(right)
    for a, b, size in _joined(sorted(_common(left, right))):
        before = 0 if a == b == 0 else margin
        after = 0 if (a + size, b + size) == ends else margin
        if size > before + after:
            yield a + before, b + before, size - before - after


def _joined(stretches: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Those that follow one another on both sides as one."""
    begun: tuple[int, int, int] | None = None
    for a, b, size in stretches:
        if begun is not None and (begun[0] + begun[2], begun[1] + begun[2]) == (a, b):
            begun = (begun[0], begun[1], begun[2] + size)
            continue
        if begun is not None:
            yield begun
        begun = (a, b, size)
    if begun is not None:
        yield begun


def _by_thread(threads: Sequence[int], rows: Sequence[int]) -> list[list[int]]:
    """Rows of each thread in their order; threads by their first row."""
    rows_of: dict[int, list[int]] = {}
    for thread, row in zip(threads, rows, strict=True):
        rows_of.setdefault(thread, []).append(row)
    return list(rows_of.values())


def _common(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """(start in left, start in right, length) of stretches that are equal."""
    shorter = min(len(left), len(right))
    head = next((i for i in range(shorter) if left[i] != right[i]), shorter)
    yield 0, 0, head
    rest = shorter - head
    tail = next((i for i in range(rest) if left[-1 - i] != right[-1 - i]), rest)
    yield len(left) - tail, len(right) - tail, tail
    middle = _shared(left[head : len(left) - tail], right[head : len(right) - tail])
    yield from ((head + a, head + b, size) for a, b, size in middle)


def _shared(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Of the longest common subsequence its stretches; none where the two differ in too much.

    E. W. Myers, An O(ND) difference algorithm and its variations, 1986: fast where little differs.
    """
    furthest = {1: 0}  # diagonal (place in left - place in right) -> how far in left it is reached
    before: list[dict[int, int]] = []
    for differences in range(min(_MOST_DIFFERENCES, len(left) + len(right)) + 1):
        before.append(dict(furthest))
        for diagonal in range(-differences, differences + 1, 2):
            at = _enter(furthest, diagonal, differences)
            while at < len(left) and 0 <= at - diagonal < len(right) and left[at] == right[at - diagonal]:
                at += 1
            furthest[diagonal] = at
            if at >= len(left) and at - diagonal >= len(right):
                yield from _walked(before, len(left), len(right))
                return


def _enter(furthest: Mapping[int, int], diagonal: int, differences: int) -> int:
    """Place in left at which a diagonal is entered by one more difference."""
    above, below = furthest.get(diagonal + 1, -1), furthest.get(diagonal - 1, -1)
    return above if diagonal == -differences or diagonal != differences and below < above else below + 1


def _walked(before: Sequence[Mapping[int, int]], left: int, right: int) -> Iterator[tuple[int, int, int]]:
    """The stretches of a path that ends at (left, right), from the last to the first."""
    for differences in range(len(before) - 1, -1, -1):
        diagonal = left - right
        entered = _enter(before[differences], diagonal, differences) if differences else 0
        if left > entered:
            yield entered, entered - diagonal, left - entered
        came = diagonal + 1 if before[differences].get(diagonal + 1, -1) == entered else diagonal - 1
        left = entered if came == diagonal + 1 else entered - 1
        right = left - came
