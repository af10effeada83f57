"""The operators of one step, found again in timed ones.

Training repeats itself: two steps call the same operators in the same order, thread by thread. Where
they differ (a logged step, another branch), what stands before and behind the difference still matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from traceanalyzer.records.trace import Ids, Ints, OpKind, Step, Trace

_MOST_DIFFERENCES = 1000  # operators that only one of two threads has: beyond, the two are not compared


def matched(
    names: Sequence[str], threads: Sequence[int], trace: Trace, timed: Sequence[Step], margin: int = 0
) -> Iterator[Ids]:
    """Of each timed step the row in Trace.ops of each operator of the other step; -1 where it has none.

    `margin`: operators that a match has to be away from the nearest difference.
    """
    ops = trace.ops
    numbers: dict[str, int] = {}
    number_of = np.array([numbers.setdefault(name, len(numbers)) for name in trace.names], np.int32)
    number = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
    operators = np.flatnonzero(np.isin(ops.kind, (OpKind.OP, OpKind.AUTOGRAD, OpKind.COMPILED)))
    lanes = [operators[lane] for lane in _by_thread(ops.thread[operators])]
    starts = [ops.start_ns[lane] for lane in lanes]
    ours = _by_thread(np.array(threads, np.int64))
    for step in timed:
        row_of = np.full(len(names), -1, np.int32)
        begun = [np.searchsorted(start_ns, (step.start_ns, step.end_ns)) for start_ns in starts]
        theirs = [lane[first:last] for lane, (first, last) in zip(lanes, begun, strict=True) if first < last]
        for mine, its in zip(ours, theirs, strict=False):  # both by their first operator
            for a, b, size in _far_from_differences(number[mine], number_of[ops.name[its]], margin):
                row_of[mine[a : a + size]] = its[b : b + size]
        yield row_of


def _by_thread(threads: Ids | Ints) -> list[Ints]:
    """Rows of each thread in their order; threads by their first row."""
    rows = np.argsort(threads, kind="stable")
    lanes = np.split(rows, np.flatnonzero(np.diff(threads[rows])) + 1)
    return sorted(filter(len, lanes), key=lambda lane: int(lane[0]))


def _far_from_differences(left: Ids, right: Ids, margin: int) -> Iterator[tuple[int, int, int]]:
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


def _common(left: Ids, right: Ids) -> Iterator[tuple[int, int, int]]:
    """(start in left, start in right, length) of stretches that are equal."""
    head = _equal(left, right)
    tail = _equal(left[head:][::-1], right[head:][::-1])
    yield 0, 0, head
    yield len(left) - tail, len(right) - tail, tail
    middle = _shared(left[head : len(left) - tail].tolist(), right[head : len(right) - tail].tolist())
    yield from ((head + a, head + b, size) for a, b, size in middle)


def _equal(left: Ids, right: Ids) -> int:
    """How many are equal from the start."""
    shorter = min(len(left), len(right))
    differing = np.flatnonzero(left[:shorter] != right[:shorter])
    return int(differing[0]) if len(differing) else shorter


def _shared(left: Sequence[int], right: Sequence[int]) -> Iterator[tuple[int, int, int]]:
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
