"""For tests of a training step: `assert_step(trace, "memory_bound.share_of_busy<=0.45")`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from traceanalyzer.comparing import check
from traceanalyzer.gate import Gate, configured
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.check import lines
from traceanalyzer.runs import Given


def assert_step(
    trace: Given,
    *requirements: str | Sequence[str],
    baseline: Given | None = None,
    strict: bool = False,
) -> None:
    """AssertionError with a line for each requirement where one is broken; `strict`: or cannot be told.

    Trace and baseline are one run or several. Requirements are those of `traceanalyze check`; without any,
    those of `[tool.traceanalyzer]` in the pyproject.toml of the current folder, with its baseline. Errors as
    of `analyze`; UsageError where nothing is required.
    """
    __tracebackhide__ = True
    wanted = Gate(tuple(_texts(requirements)), (), strict)
    named = configured() if not wanted.require else Gate()
    gate = wanted.over(named)
    result = check(trace, gate.require, baseline=gate.baseline or None if baseline is None else baseline)
    if result.fails(strict=gate.strict):
        raise AssertionError("\n".join(lines(result)))


def _texts(requirements: Sequence[Any]) -> Iterator[str]:
    """Each of them, given one by one or as a list."""
    for each in requirements:
        if isinstance(each, str):
            yield each
        elif isinstance(each, list | tuple) and all(isinstance(text, str) for text in each):
            yield from each
        else:
            raise UsageError(f"assert_step() was given {each!r} as a requirement",
                             fix="give texts such as 'memory_bound.share_of_busy<=0.45'")  # fmt: skip
