"""Busy time by the Python function that launched it, and by the line in it where that is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.assembly.module_times import times_by_verdict, verdict_times
from traceanalyzer.records import VERDICTS
from traceanalyzer.records.code import FunctionTime
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.trace import Ids

_LISTED = 5000  # functions, or lines, of which each has an entry of its own


def function_times(judged: Judged, site: Ids) -> tuple[FunctionTime, ...] | None:
    """The longest first, what no function launched last; None where no functions are recorded.

    `site`: of each record the row in Trace.call_sites that called it.
    """
    if not len(judged.priced.trace.call_sites.sites):
        return None
    return tuple(_entries(judged, site))


def _entries(judged: Judged, site: Ids) -> Iterator[FunctionTime]:
    times = dict(times_by_verdict(judged, site))
    outside = times.pop(-1, np.zeros(len(VERDICTS), np.int64))
    sites = judged.priced.trace.call_sites.sites
    ordered = sorted(times.items(), key=lambda item: (-int(item[1].sum()), item[0]))
    ordered = [(row, of_row) for row, of_row in ordered if of_row.any()]
    for row, of_row in ordered[:_LISTED]:
        where = sites[row]
        yield FunctionTime(
            file=where.function.file, line=where.line, function=where.function.name, line_is=where.line_is,
            time_ns=int(of_row.sum()), verdicts=verdict_times(of_row), library=where.function.library,
        )  # fmt: skip
    for _, of_row in ordered[_LISTED:]:
        outside = outside + of_row
    if outside.any() or not ordered:
        yield FunctionTime(
            file=None, line=None, function=None, line_is=None, time_ns=int(outside.sum()),
            verdicts=verdict_times(outside),
        )  # fmt: skip
