"""By how much operators change that are the same on both sides: what load and clocks do, and no change made.

A recording holds no times of a row step by step. But rows of the same calls on the same tensors are many, and
what they differ by is what a row differs by anyhow: three times the spread of their ratios about the median
is no cause of anything. Beyond it chance leaves one row of 370, where ratios are spread as normal numbers
are. Of several runs a side, what their runs differ by is no cause either.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from statistics import median

from msgspec import structs

from traceanalyzer.comparison.matching import Matched
from traceanalyzer.records.comparison import Change, Drift, OpChange

_LEAST_ROWS = 8  # fewer have no spread
_WORTH = 0.001  # of the step: what takes less differs by more
_SPREADS, _NORMAL = 3.0, 1.4826  # of the median distance from the median


def drift_of(ops: Sequence[Matched], window: Change) -> Drift | None:
    """None where too few rows are the same to tell."""
    least = _WORTH * max(window.base, window.head)
    same = [each.shown for each in ops if _is_same(each.shown)]
    large = [op for op in same if max(op.base_ns, op.head_ns) >= least]
    ratios = [_ratio(op) for op in large]
    if len(ratios) < _LEAST_ROWS:
        return None
    middle = median(ratios)
    spread = _SPREADS * _NORMAL * median(abs(ratio - middle) for ratio in ratios)
    near = [ratio for ratio in ratios if abs(ratio - middle) <= spread] or [middle]
    low, high = min(near), max(near)
    within = [op for op in same if low <= _ratio(op) <= high]
    return Drift(
        rows=len(within), ratio=exp(middle), low=exp(low), high=exp(high),
        change_ns=sum(op.change_ns for op in within),
    )  # fmt: skip


def _ratio(op: OpChange) -> float:
    """Its logarithm: twice and half as long are as far from the same."""
    return log(op.head_ns / op.base_ns)


def told_from_noise(ops: Sequence[Matched], drift: Drift | None, *, several: bool) -> tuple[Matched, ...]:
    """The same, with what is said of noise. `several`: each side has several runs."""
    return tuple(
        Matched(structs.replace(each.shown, within_noise=True), each.ranges_ns)
        if _is_within(each, drift, several) else each for each in ops
    )  # fmt: skip


def _is_within(each: Matched, drift: Drift | None, several: bool) -> bool:
    op = each.shown
    if op.match != "matched":
        return False
    if several and abs(op.change_ns) <= each.ranges_ns:
        return True
    return drift is not None and _is_same(op) and log(drift.low) <= _ratio(op) <= log(drift.high)


def _is_same(op: OpChange) -> bool:
    """As many calls of the same on both sides, which took time on both."""
    calls = [round(sum(row.calls for row in rows), 3) for rows in (op.base, op.head)]
    return op.match == "matched" and op.base_ns > 0 and op.head_ns > 0 and calls[0] == calls[1]
