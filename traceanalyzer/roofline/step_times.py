"""Each step of the window: its time on the host and on the device, by verdict and by cause of idleness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traceanalyzer.records import VERDICTS, OpRow, StepPart, StepTime
from traceanalyzer.records.judged import IdleTimes
from traceanalyzer.records.times import known_at_roof
from traceanalyzer.records.trace import Ids, Window
from traceanalyzer.roofline.attribution import Attributed
from traceanalyzer.roofline.idle import idle_by_cause


def step_times(
    window: Window,
    attributed: Attributed,
    row: Ids,
    table: Sequence[OpRow],
    idle: IdleTimes,
    names: Sequence[str],
) -> tuple[StepTime, ...]:
    """One entry a step of the window, in order; () where the trace has none.

    `row`: of each record its place in `table`. Verdicts and causes of a step add up to its device time, and
    those of all steps to the window's, to the nanosecond.
    """
    if not window.steps:
        return ()
    code = np.array([VERDICTS.index(each.verdict) for each in table] or [0], np.int64)
    reaches = np.array([each.runs_at_a_roof for each in table] or [False], bool)[row[attributed.record]]
    is_open = np.array([each.roof_is_open for each in table] or [False], bool)[row[attributed.record]]
    busy, at_roof, open_ns = (np.zeros((len(window.steps), len(VERDICTS)), np.int64) for _ in range(3))
    cell = (attributed.step, code[row[attributed.record]])
    np.add.at(busy, cell, attributed.time_ns)
    np.add.at(at_roof, cell, np.where(reaches, attributed.time_ns, 0))
    np.add.at(open_ns, cell, np.where(is_open, attributed.time_ns, 0))
    bounds = zip(window.cuts, window.cuts[1:], window.step_ends or window.cuts[1:], strict=False)
    return tuple(
        StepTime(
            name=step.name,
            host_ns=step.end_ns - step.start_ns,
            device_start_ns=start,
            device_ns=end - start,
            extent_ns=last - start,
            host_lead_ns=start - step.start_ns,
            verdicts=tuple(map(StepPart, VERDICTS, parts.tolist(), map(known_at_roof, parts, reached, left))),
            idle_by_cause=idle_by_cause(within(idle, start, end), names),
        )
        for step, (start, end, last), parts, reached, left in zip(
            window.steps, bounds, busy, at_roof, open_ns, strict=True
        )
    )


def within(idle: IdleTimes, start: int, end: int) -> IdleTimes:
    """The idle stretches of [start, end), cut at its ends."""
    first = int(np.searchsorted(idle.end_ns, start, side="right"))
    last = max(first, int(np.searchsorted(idle.start_ns, end, side="left")))
    part = slice(first, last)
    return IdleTimes(
        np.maximum(idle.start_ns[part], start),
        np.minimum(idle.end_ns[part], end),
        idle.cause[part],
        idle.name[part],
    )
