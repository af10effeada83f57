"""The operators of an executed step, found again in a timed one.

Training repeats itself: the two steps call the same operators in the same order, thread by thread. Where
they differ (a logged step, another branch), what stands before and behind the difference still matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

import numpy as np

from traceanalyzer.columns import Ids, OpKind, Step, Trace
from traceanalyzer.fusion.executed import Executed

_LONGEST = 2000  # operators between the common ends of two threads that are compared at all


def matched(step: Executed, trace: Trace, timed: Step) -> Ids:
    """Row in Trace.ops of each executed operator; -1 where the timed step has no such one."""
    ops = trace.ops
    inside = (ops.start_ns >= timed.start_ns) & (ops.start_ns < timed.end_ns)
    rows = np.flatnonzero(inside & ((ops.kind == OpKind.OP) | (ops.kind == OpKind.AUTOGRAD)))
    found = np.full(len(step.name), -1, np.int32)
    ours = _by_thread(step.thread, range(len(step.name)))
    theirs = _by_thread(ops.thread[rows].tolist(), rows.tolist())
    for mine, its in zip(ours, theirs, strict=False):  # both by their first operator
        names = [step.names[step.name[row]] for row in mine]
        others = [trace.names[ops.name[row]] for row in its]
        for a, b, size in _common(names, others):
            found[mine[a : a + size]] = its[b : b + size]
    return found


def _by_thread(threads: Sequence[int], rows: Sequence[int]) -> list[list[int]]:
    """Rows of each thread in their order; threads by their first row."""
    found: dict[int, list[int]] = {}
    for thread, row in zip(threads, rows, strict=True):
        found.setdefault(thread, []).append(row)
    return list(found.values())


def _common(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """(start in left, start in right, length) of stretches that are equal."""
    shorter = min(len(left), len(right))
    head = next((i for i in range(shorter) if left[i] != right[i]), shorter)
    yield 0, 0, head
    rest = shorter - head
    tail = next((i for i in range(rest) if left[-1 - i] != right[-1 - i]), rest)
    yield len(left) - tail, len(right) - tail, tail
    a, b = left[head : len(left) - tail], right[head : len(right) - tail]
    if max(len(a), len(b)) <= _LONGEST:
        for match in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
            yield head + match.a, head + match.b, match.size
