"""Which part of a trace suggestions are looked for in: a step, the whole, one period of it, or a sample.

A trace without steps that repeats itself says in one period what all of them say, so that the cost of advice
does not grow with the trace.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from traceanalyzer.fusion.step_ops import StepOps, step_ops
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.priced import Priced
from traceanalyzer.records.trace import Ids, Ints, Step, Window

_MAX_OPERATORS = 20_000  # without steps, a trace of more operators that work is looked at in part
_MIN_OPERATORS = 2_000  # operators of a period; shorter ones are taken several at once
_REPEATED_SHARE = 0.98  # share of operators that are the same one period later
_CANDIDATES = 8  # rare calls whose distances are tried as the period
_MAX_CALLS = 256  # that such a call may be made in one period
_REGULAR_SHARE = 0.9  # share of its places that are as far apart as the others


class Stretch(msgspec.Struct, frozen=True):
    """One part of the trace, as a step."""

    step: Step
    repeats: float = 1.0  # how many times its time a step has; without steps, the whole trace
    note: str = ""  # what a reader must know where it is not all


def stretch_of(judged: Judged) -> Stretch | None:
    """The step of median length, or a part of a trace that names no steps; None without operators."""
    trace = judged.priced.trace
    if not len(trace.ops):
        return None
    step = median_step(judged.window)
    if step is not None:
        return Stretch(step)
    whole = Step("", 0, int(trace.ops.start_ns.min()), int(trace.ops.end_ns.max()) + 1)
    operators = step_ops(judged.priced, whole)
    if len(operators.op) <= _MAX_OPERATORS:
        return Stretch(whole)
    return _part(judged.priced, operators)


def median_step(window: Window) -> Step | None:
    """Of an even number the shorter of the two in the middle."""
    by_length = sorted(window.steps, key=lambda step: step.end_ns - step.start_ns)
    return by_length[(len(by_length) - 1) // 2] if by_length else None


def _part(priced: Priced, operators: StepOps) -> Stretch:
    """One period from the middle, or as many operators as are looked at."""
    ops, count = priced.trace.ops, len(operators.op)
    period = period_of(ops.call[operators.op])
    if period is None or period > _MAX_OPERATORS:
        length, first = _MAX_OPERATORS, (count - _MAX_OPERATORS) // 2
    else:
        length = period * -(-_MIN_OPERATORS // period)
        first = count // 2 // period * period
        first -= max(0, -(-(first + length - count) // period)) * period
    last = min(first + length, count - 1)
    start, end = (int(ops.start_ns[operators.op[at]]) for at in (first, last))
    part_ns = int(operators.time_ns[first:last].sum())
    repeats = int(operators.time_ns.sum()) / part_ns if part_ns else 1.0
    of = "one period" if period is not None and period <= _MAX_OPERATORS else "a sample"
    note = f"found in {of} of {last - first:,} of {count:,} operators, and scaled to the whole by time"
    return Stretch(Step("", 0, start, end), repeats, note)


def period_of(calls: Ids) -> int | None:
    """After how many entries the sequence repeats itself, but for one in fifty; None where it does not.

    A call that is made r times in a period stands as far from the r-th next one everywhere; the rarest calls
    tell by the fewest places.
    """
    names, counts = np.unique(calls, return_counts=True)
    rare = names[counts >= 2][np.argsort(counts[counts >= 2], kind="stable")[:_CANDIDATES]]
    periods = {period for name in rare.tolist() for period in _distances(np.flatnonzero(calls == name))}
    fitting = [period for period in periods if np.mean(calls[:-period] == calls[period:]) >= _REPEATED_SHARE]
    return min(fitting, default=None)


def _distances(places: Ints) -> Iterator[int]:
    """The distance to the next occurrence, or the r-th next, where it is the same nearly everywhere."""
    for times in range(1, min(len(places) // 2, _MAX_CALLS) + 1):
        apart, count = np.unique(places[times:] - places[:-times], return_counts=True)
        if count.max() >= _REGULAR_SHARE * count.sum():
            yield int(apart[np.argmax(count)])
            return
