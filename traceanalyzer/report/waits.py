"""Sentences about time: what the device waits for, and whose time it is that shares are given of."""

from __future__ import annotations

from typing import Literal

from traceanalyzer.records import IdlePart, StepTime
from traceanalyzer.records.units import duration, whole_percent
from traceanalyzer.report.labels import VERDICT_NOUNS, WAITS_FOR
from traceanalyzer.report.sanitize import cut, visible
from traceanalyzer.report.shown import Shown

_NEARLY_ALL = 0.9  # of idle time, that one cause has: then the rest is not worth a word
_TOLD = 0.01  # of the window, from which on start-up is said
_NAME = 60  # characters of what the host did
_PLAIN = ("launch_gap", "data_loading")  # causes that say everything without a name
_SCHEDULE = "record with a schedule, with wait and warmup steps"


def waiting(figures: Shown, device: Literal["gpu", "cpu"]) -> str:
    """How long the device is idle, and for what most of it, with the name of what the host did."""
    idle_ns = figures.waiting_ns
    share = whole_percent(idle_ns / (figures.window_ns - figures.profiler_ns))
    if device == "cpu":
        return f"The CPU runs no operator for {share} of the window: {figures.amount(idle_ns)}."
    largest = max(_causes(figures), key=lambda part: part.time_ns, default=None)
    if largest is None or largest.cause == "unknown":
        return f"The GPU is idle {share} of the window: {figures.amount(idle_ns)}; {_unknown(figures)}."
    rest = ""
    if largest.time_ns < _NEARLY_ALL * idle_ns:
        rest = f"; it is idle {duration(figures.each(idle_ns), 2)} in all, {share} of the window"
    return f"The GPU waits {figures.amount(largest.time_ns)} for {_cause(largest)}{rest}."


def _causes(figures: Shown) -> list[IdlePart]:
    """Of idle time but for the profiler's own work."""
    return [part for part in figures.idle_by_cause if part.cause != "profiler" and part.time_ns]


def _unknown(figures: Shown) -> str:
    """What is known all the same of idle time that has no cause for the most part."""
    named = [part for part in _causes(figures) if part.cause != "unknown"]
    largest = max(named, key=lambda part: part.time_ns, default=None)
    if largest is None or largest.time_ns < (1 - _NEARLY_ALL) * figures.waiting_ns:
        return "the trace does not show why"
    part = duration(figures.each(largest.time_ns), 2)
    return f"{part} of it for {_cause(largest)}, and for most of the rest the trace shows no cause"


def _cause(part: IdlePart) -> str:
    """`host work: Optimizer.step#DeepSpeedCPUAdam.step`."""
    named = f": {cut(part.names[0].name, _NAME)}" if part.names and part.cause not in _PLAIN else ""
    return f"{WAITS_FOR[part.cause]}{named}"


def about_time(figures: Shown) -> list[str]:
    """What a reader must know of the time that shares are of: other steps, the profiler, start-up."""
    sentences = longest(figures)
    if figures.profiler_ns:
        what = "trace" if figures.step_count is None else "step"
        without = duration(figures.each(figures.window_ns - figures.profiler_ns), 2)
        taken = duration(figures.each(figures.profiler_ns))
        sentences.append(f"The {what} takes about {without} without the profiler's own {taken}.")
    return sentences + _start_up(figures)


def _start_up(figures: Shown) -> list[str]:
    """What is paid once a process, where it is a visible part of the window."""
    part = next((part for part in figures.idle_by_cause if part.cause == "first_use"), None)
    if part is None or part.time_ns <= _TOLD * figures.window_ns:
        return []
    if figures.mostly_idle and part.time_ns == max(each.time_ns for each in _causes(figures)):
        return [f"Start-up is paid once: {_SCHEDULE}."]
    named = f" ({cut(part.names[0].name, _NAME)})" if part.names else ""
    return [f"{figures.amount(part.time_ns)} goes to start-up{named}, paid once: {_SCHEDULE}."]


def longest(figures: Shown) -> list[str]:
    """Of steps that differ, the longest and what it has more of than the one that is shown."""
    step, other = figures.step, figures.longest
    if step is None or other is None or other is step:
        return []
    why = " and ".join(f"{duration(ns, 2)} more {what}" for ns, what in _more_of(step, other)[:2])
    name = cut(visible(other.name), _NAME)
    return [f"The longest, {name}, takes {duration(other.device_ns)}{f': {why}' if why else ''}."]


def _more_of(step: StepTime, other: StepTime) -> list[tuple[int, str]]:
    """What makes the `other` step longer, the largest first: at least a fifth of the difference each."""
    busy = {part.verdict: part.time_ns for part in step.verdicts}
    idle = {part.cause: part.time_ns for part in step.idle_by_cause}
    more = [
        (part.time_ns - busy.get(part.verdict, 0), f"in {VERDICT_NOUNS[part.verdict]}")
        for part in other.verdicts
    ]
    for part in other.idle_by_cause:
        unknown = part.cause == "unknown"
        why = "without work, for which the trace shows no cause" if unknown else f"waiting for {_cause(part)}"
        more.append((part.time_ns - idle.get(part.cause, 0), why))
    least = (other.device_ns - step.device_ns) / 5
    return sorted((each for each in more if each[0] > max(least, 0)), key=lambda each: -each[0])
