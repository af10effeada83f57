"""For tests of a training step: `assert_step(trace, "memory_bound.share_of_busy<=0.45")`."""

from __future__ import annotations

from os import PathLike

from traceanalyzer.comparing import check
from traceanalyzer.records import Analysis
from traceanalyzer.report.check import lines


def assert_step(
    trace: str | PathLike[str] | Analysis,
    *requirements: str,
    baseline: str | PathLike[str] | Analysis | None = None,
    strict: bool = False,
) -> None:
    """AssertionError with a line for each requirement where one is broken; `strict`: or cannot be told.

    Requirements are those of `traceanalyze check`. Errors as of `analyze`; UsageError where none is given.
    """
    __tracebackhide__ = True
    result = check(trace, requirements, baseline=baseline)
    if result.fails(strict=strict):
        raise AssertionError("\n".join(lines(result)))
