"""Which calls of each row launched a kernel of a kind: one call of a row may take another than the next."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from traceanalyzer.records.trace import Bools, Ints, Trace, passes
from traceanalyzer.roofline.invocations import Groups

Launches = Callable[[int, str], tuple[int, int]]
"""(row, pattern of a kernel's name) -> (calls of the row with such a kernel, calls of the row)."""


def launches(trace: Trace, groups: Groups, inside: Bools, overhead: Bools) -> Launches:
    """Of calls in the window that did work of their own. Each pattern is looked for once."""
    rows, runs = len(groups.first_record), len(groups.invocation_row)
    works = _has(groups, inside, runs) & ~_has(groups, overhead, runs)
    calls = np.bincount(groups.invocation_row[works], minlength=rows)
    counts: dict[str, Ints] = {}

    def of(row: int, pattern: str) -> tuple[int, int]:
        if pattern not in counts:
            named = passes(trace.names, trace.kernels.name, lambda name: bool(re.search(pattern, name)))
            having = works & _has(groups, inside & named, runs)
            counts[pattern] = np.bincount(groups.invocation_row[having], minlength=rows)
        return int(counts[pattern][row]), int(calls[row])

    return of


def _has(groups: Groups, records: Bools, runs: int) -> Bools:
    """Of each call, whether one of its records is among these."""
    result = np.zeros(runs, bool)
    result[groups.invocation[records]] = True
    return result
