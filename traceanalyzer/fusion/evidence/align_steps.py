"""The operators of an executed step, found again in a timed one.

Training repeats itself: the two steps call the same operators in the same order, thread by thread. Where
they differ (a logged step, another branch), what stands before and behind the difference still matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from traceanalyzer.fusion.evidence.execution_trace import Executed
from traceanalyzer.records.trace import Ids, OpKind, Step, Trace

_MOST_DIFFERENCES = 1000  # operators that only one of two threads has: beyond, the two are not compared


def matched(step: Executed, trace: Trace, timed: Step) -> Ids:
    """Row in Trace.ops of each executed operator; -1 where the timed step has no such one."""
    ops = trace.ops
    inside = (ops.start_ns >= timed.start_ns) & (ops.start_ns < timed.end_ns)
    rows = np.flatnonzero(inside & ((ops.kind == OpKind.OP) | (ops.kind == OpKind.AUTOGRAD)))
    row_of = np.full(len(step.name), -1, np.int32)
    ours = _by_thread(step.thread, range(len(step.name)))
    theirs = _by_thread(ops.thread[rows].tolist(), rows.tolist())
    for mine, its in zip(ours, theirs, strict=False):  # both by their first operator
        names = [step.names[step.name[row]] for row in mine]
        others = [trace.names[ops.name[row]] for row in its]
        for a, b, size in _common(names, others):
            row_of[mine[a : a + size]] = its[b : b + size]
    return row_of


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
