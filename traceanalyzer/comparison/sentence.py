"""The first line of a comparison: the step, by how much, how surely, and where."""

from __future__ import annotations

from traceanalyzer.records.comparison import Change, Culprit, StepChange
from traceanalyzer.records.units import duration, percent

_WORTH_NAMING = 0.01  # of the step


def sentence_of(
    step: StepChange, window: Change, culprit: Culprit | None, *, same_work: bool, why: str, has_steps: bool
) -> str:
    """`why`: the message of the first reason for which the work is not the same."""
    told = f"{_told(step, window, has_steps=has_steps)}{_where(culprit, window)}"
    return told if same_work else f"Not the same work ({why}): {told[0].lower()}{told[1:]}"


def _told(step: StepChange, window: Change, *, has_steps: bool) -> str:
    what = "step" if has_steps else "trace"
    if step.base is None or step.head is None or step.change is None:
        return f"The {what} takes {_from_to(window)}; whether that is noise cannot be told: {step.reason}."
    values = Change.of(step.base, step.head)
    if step.verdict == "cannot_tell":
        return f"The {what} takes {_from_to(values)}; whether that is noise cannot be told: {step.reason}."
    if step.verdict == "no_change":
        return f"The {what} takes as long as before: {_from_to(values)}{_interval(step)}."
    share = percent(abs(step.change_share or 0))
    return (
        f"The {what} is {duration(abs(step.change), 2)} ({share}) {step.verdict}: {_from_to(values)}"
        f"{_interval(step)}."
    )


def _from_to(change: Change) -> str:
    return f"{duration(change.base)}, now {duration(change.head)}"


def _interval(step: StepChange) -> str:
    """`, change between -9.1 ms and -8.2 ms (95 %)`."""
    if step.low is None or step.high is None:
        return ""
    return f", change between {signed(step.low)} and {signed(step.high)} ({percent(step.confidence, 0)})"


def signed(ns: float) -> str:
    """`+3.2 ms`."""
    return f"{'-' if ns < 0 else '+'}{duration(abs(ns), 2)}"


def _where(culprit: Culprit | None, window: Change) -> str:
    if culprit is None or abs(culprit.change_ns) < _WORTH_NAMING * max(window.base, 1):
        return ""
    kind = "idle time, " if culprit.kind == "idle" else ""
    return f" The largest single change is {kind}{culprit.name}: {signed(culprit.change_ns)}."
