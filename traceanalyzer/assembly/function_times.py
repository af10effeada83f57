"""Busy time by the Python function that launched it, and the places in the code of each row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.assembly.module_times import times_by_verdict, verdict_times
from traceanalyzer.records import VERDICTS
from traceanalyzer.records.code import FunctionTime
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.trace import Ids

_LISTED = 5000  # functions of which each has an entry of its own


def function_times(judged: Judged, frame: Ids) -> tuple[FunctionTime, ...] | None:
    """The longest first, what no function launched last; None where no stacks are recorded.

    `frame`: of each record the row in Trace.frames that it belongs to.
    """
    frames = judged.priced.trace.frames
    if not len(frames):
        return None
    return tuple(_entries(judged, frames.functions_at(frame)))


def _entries(judged: Judged, function: Ids) -> Iterator[FunctionTime]:
    times = dict(times_by_verdict(judged, function))
    outside = times.pop(-1, np.zeros(len(VERDICTS), np.int64))
    functions = judged.priced.trace.frames.functions
    ordered = sorted(times.items(), key=lambda item: (-int(item[1].sum()), item[0]))
    ordered = [(row, of_row) for row, of_row in ordered if of_row.any()]
    for row, of_row in ordered[:_LISTED]:
        where = functions[row]
        yield FunctionTime(
            file=where.file, line=where.line, function=where.name, line_is="function",
            time_ns=int(of_row.sum()), verdicts=verdict_times(of_row),
        )  # fmt: skip
    for _, of_row in ordered[_LISTED:]:
        outside = outside + of_row
    if outside.any() or not ordered:
        yield FunctionTime(
            file=None, line=None, function=None, line_is=None, time_ns=int(outside.sum()),
            verdicts=verdict_times(outside),
        )  # fmt: skip
