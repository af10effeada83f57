"""Rows summed by verdict, operator class and reason (ns, FLOPs), with shares (0 to 1); each sum is exact."""

from __future__ import annotations

from collections.abc import Sequence

from traceanalyzer.records import (
    OPERATOR_CLASSES,
    VERDICTS,
    ClassPart,
    Coverage,
    MemoryBound,
    OpRow,
    Reason,
    ReasonPart,
    Verdict,
    VerdictPart,
)
from traceanalyzer.records.times import known_at_roof

_NON_CONTRACTION = ("statistical_normalization", "element_wise")


def share(part: float, whole: float) -> float:
    """part / whole; 0 of nothing is 0."""
    return part / whole if whole else 0.0


def verdict_parts(rows: Sequence[OpRow], busy_ns: int, window_ns: int) -> tuple[VerdictPart, ...]:
    """All six verdicts, also at 0; their times add up to busy."""
    time = dict.fromkeys(VERDICTS, 0)
    kernels = dict.fromkeys(VERDICTS, 0)
    for row in rows:
        time[row.verdict] += row.attributed_ns
        kernels[row.verdict] += row.kernels
    return tuple(
        VerdictPart(
            v, time[v], share(time[v], busy_ns), share(time[v], window_ns), kernels[v], _at_roof_ns(rows, v)
        )
        for v in VERDICTS
    )


def _at_roof_ns(rows: Sequence[OpRow], verdict: Verdict) -> int | None:
    """Time of this verdict at a roof; None where that is not known of a notable part of it."""
    ours = [row for row in rows if row.verdict == verdict]
    return known_at_roof(
        sum(row.attributed_ns for row in ours),
        sum(row.attributed_ns for row in ours if row.runs_at_a_roof),
        sum(row.attributed_ns for row in ours if row.roof_is_open),
    )


def class_parts(rows: Sequence[OpRow], busy_ns: int) -> tuple[ClassPart, ...]:
    """All six operator classes, also at 0; their times add up to busy."""
    time = dict.fromkeys(OPERATOR_CLASSES, 0)
    flops = dict.fromkeys(OPERATOR_CLASSES, 0)
    for row in rows:
        time[row.operator_class] += row.attributed_ns
        flops[row.operator_class] += row.flops or 0
    total = sum(flops.values())
    return tuple(
        ClassPart(c, flops[c], share(flops[c], total), time[c], share(time[c], busy_ns))
        for c in OPERATOR_CLASSES
    )


def memory_bound(rows: Sequence[OpRow], busy_ns: int, window_ns: int) -> MemoryBound:
    """The headline with its two parts, and the two shares that it must not be confused with.

    Time of which nothing was measured, all its calls being cut by the window's ends, is below the roof.
    """
    bound = sum(r.attributed_ns for r in rows if r.verdict == "memory_bound")
    at_roof = _at_roof_ns(rows, "memory_bound")
    side = sum(r.attributed_ns for r in rows if r.bound == "memory")
    other = sum(r.attributed_ns for r in rows if r.operator_class in _NON_CONTRACTION)
    return MemoryBound(
        time_ns=bound,
        share_of_busy=share(bound, busy_ns),
        share_of_window=share(bound, window_ns),
        at_roof_share_of_busy=None if at_roof is None else share(at_roof, busy_ns),
        below_roof_share_of_busy=None if at_roof is None else share(bound - at_roof, busy_ns),
        memory_side_share_of_busy=share(side, busy_ns),
        non_contraction_share_of_busy=share(other, busy_ns),
    )


def coverage(rows: Sequence[OpRow], linked_ns: int, shaped_ns: int, modelled_of_shaped_ns: int) -> Coverage:
    """By kernel duration, over rows that are neither communication nor copy."""
    ours = [r for r in rows if r.verdict not in ("communication", "copy")]
    total = sum(r.time_ns for r in ours)
    unmodelled: dict[Reason, list[OpRow]] = {}
    for row in ours:
        if row.verdict == "unmodelled":
            unmodelled.setdefault(row.reason or "no_formula", []).append(row)
    parts = []
    for reason, members in unmodelled.items():
        time_ns = sum(r.time_ns for r in members)
        example = max(members, key=lambda r: (r.time_ns, r.name)).name
        parts.append(ReasonPart(reason, time_ns, share(time_ns, total), example))
    missing = sum(p.time_ns for p in parts)
    return Coverage(
        modelled_share=share(total - missing, total),
        linked_share=share(linked_ns, total),
        shaped_share=share(shaped_ns, total),
        modelled_of_shaped_share=share(modelled_of_shaped_ns, shaped_ns),
        reasons=tuple(sorted(parts, key=lambda p: (-p.time_ns, p.reason))),
    )
