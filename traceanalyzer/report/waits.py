"""Sentences about time: what the device waits for, and whose time it is that shares are given of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from traceanalyzer.records import IdleCause, IdlePart, StepTime
from traceanalyzer.records.times import steps_differ
from traceanalyzer.records.units import duration, whole_percent
from traceanalyzer.records.vocabulary import COMPILED_CODE
from traceanalyzer.report.labels import VERDICT_NOUNS, WAITS_FOR
from traceanalyzer.report.sanitize import cut, visible
from traceanalyzer.report.shown import MAX_NAME, Shown

_NEARLY_ALL_SHARE = 0.9  # of idle time, that one cause has: then the rest is not worth a word
_MOST_SHARE = 0.5  # of idle time, from which on its cause is named beside it
_WORTH_A_WORD_SHARE = 0.01  # of the window, that the device is idle
_START_UP_SHARE = 0.01  # of the window, from which on start-up is said
_PLAIN = ("launch_gap", "data_loading")  # causes that say everything without a name
_HASH = re.compile(r"\b(?=[a-z]*\d)[a-z0-9]{24,}\b")
_SCHEDULE = "record with a schedule, with wait and warmup steps"


def waiting(figures: Shown, device: Literal["gpu", "cpu"], where: str = "") -> str:
    """How long the device waits for what most of its idle time goes to, by name; `where`: in the code."""
    idle_ns = figures.waiting_ns
    share = share_of_window(figures, idle_ns)
    if device == "cpu":
        return f"The CPU runs no operator for {share}: {figures.amount(idle_ns)}"
    largest = _largest(figures)
    if largest is None or largest.cause == "unknown":
        amount = f"{figures.amount(idle_ns)}{f'{where};' if where else ','}"
        return f"The GPU is idle {share}: {amount} {_unknown(figures)}"
    return f"The GPU waits {figures.amount(largest.time_ns)} for {_cause(largest)}{where}"


def aside(figures: Shown, device: Literal["gpu", "cpu"]) -> str:
    """Idle time where something else is larger: `the GPU is idle 12 ms, most of it for launches`."""
    idle = duration(figures.each(figures.waiting_ns), 2)
    if device == "cpu":
        return f"the CPU runs no operator for {idle}"
    largest = _largest(figures)
    if largest is None or largest.cause == "unknown" or largest.time_ns < _MOST_SHARE * figures.waiting_ns:
        return f"the GPU is idle {idle}"
    return f"the GPU is idle {idle}, most of it for {_cause(largest)}"


def idle_and_busy(figures: Shown, device: Literal["gpu", "cpu"]) -> list[str]:
    """`The GPU is idle 644 ms, 53 % of the window, and busy 567 ms`, less what the first line says."""
    idle_ns = figures.waiting_ns
    if device == "cpu" or idle_ns < _WORTH_A_WORD_SHARE * figures.window_ns:
        return []
    busy = duration(figures.each(figures.busy_ns), 2)
    largest = _largest(figures) if figures.mostly_idle else None
    if figures.mostly_idle and (
        largest is None or largest.cause == "unknown" or largest.time_ns >= _NEARLY_ALL_SHARE * idle_ns
    ):
        return [f"The GPU is busy {busy}, {share_of_window(figures, figures.busy_ns)}."]
    idle = duration(figures.each(idle_ns), 2)
    return [f"The GPU is idle {idle}, {share_of_window(figures, idle_ns)}, and busy {busy}."]


def largest_cause(figures: Shown) -> IdleCause | None:
    """What most idle time goes to, but for the profiler's own work; None where there is none."""
    largest = _largest(figures)
    return largest.cause if largest is not None else None


def _largest(figures: Shown) -> IdlePart | None:
    return max(_causes(figures), key=lambda part: part.time_ns, default=None)


def share_of_window(figures: Shown, ns: int) -> str:
    """`61 % of the window`, or of the step that is shown; with a word where the profiler's is taken off."""
    whole = "the step" if figures.step else "the window"
    less = " without the profiler's own work" if figures.profiler_ns else ""
    return f"{whole_percent(ns / (figures.window_ns - figures.profiler_ns))} of {whole}{less}"


def _causes(figures: Shown) -> list[IdlePart]:
    """Of idle time but for the profiler's own work."""
    return [part for part in figures.idle_by_cause if part.cause != "profiler" and part.time_ns]


def _unknown(figures: Shown) -> str:
    """What is known all the same of idle time that has no cause for the most part."""
    named = [part for part in _causes(figures) if part.cause != "unknown"]
    largest = max(named, key=lambda part: part.time_ns, default=None)
    if largest is None or largest.time_ns < (1 - _NEARLY_ALL_SHARE) * figures.waiting_ns:
        return "the trace does not show why"
    part = duration(figures.each(largest.time_ns), 2)
    return f"{part} of it for {_cause(largest)}, and for most of the rest the trace shows no cause"


def _cause(part: IdlePart) -> str:
    """`host work: Optimizer.step#DeepSpeedCPUAdam.step`; unnamed where no name has most of it."""
    name = part.main_name
    return f"{WAITS_FOR[part.cause]}{f': {_short(name)}' if name and part.cause not in _PLAIN else ''}"


def _short(name: str) -> str:
    """`Call CompiledFxGraph` of what the host did: nobody reads a hash."""
    return cut(" ".join(_HASH.sub("", name.strip("# ")).split()), MAX_NAME)


def about_time(figures: Shown, steps: Sequence[StepTime]) -> list[str]:
    """What a reader must know of the time that shares are of: other steps, the profiler, start-up."""
    sentences = longest(figures) or _differing(figures, steps)
    if figures.profiler_ns:
        what = "trace" if figures.step_count is None else "step"
        without = duration(figures.each(figures.window_ns - figures.profiler_ns), 2)
        taken = duration(figures.each(figures.profiler_ns))
        sentences.append(
            f"The {what} takes about {without} without the profiler's own {taken}, which tables include."
        )
    return [*sentences, *_start_up(figures, steps)]


def compiled_code(figures: Shown) -> list[str]:
    """What the host does in compiled code, where the first line says that the device waits for that."""
    largest = _largest(figures) if figures.mostly_idle else None
    if largest is None or largest.cause != "host_work":
        return []
    if not any(part in (largest.main_name or "") for part in COMPILED_CODE):
        return []
    return ["torch.compile has generated that wrapper, and the trace does not say what in it takes long."]


def _start_up(figures: Shown, steps: Sequence[StepTime]) -> list[str]:
    """What is paid once a process, where it is a visible part of the window: never as a mean of steps."""
    part = next((part for part in figures.idle_by_cause if part.cause == "first_use"), None)
    if part is None or part.time_ns <= _START_UP_SHARE * figures.window_ns:
        return []
    if figures.mostly_idle and part.time_ns == max(each.time_ns for each in _causes(figures)):
        return [f"Start-up is paid once: {_SCHEDULE}."]
    named = f" ({cut(part.names[0].name, MAX_NAME)})" if part.names else ""
    return [f"{_paid(figures, part, steps)} goes to start-up{named}, paid once: {_SCHEDULE}."]


def _paid(figures: Shown, part: IdlePart, steps: Sequence[StepTime]) -> str:
    """`4.0 ms of ProfilerStep#0`; of several steps that start something up: `9.0 ms of all 3 steps`."""
    if figures.step or figures.step_count is None or figures.step_count == 1 or not steps:
        return figures.amount(part.time_ns)
    largest = max(steps, key=_started_ns)
    if _started_ns(largest) >= _NEARLY_ALL_SHARE * part.time_ns:
        return f"{duration(_started_ns(largest), 2)} of {cut(visible(largest.name), MAX_NAME)}"
    return f"{duration(part.time_ns, 2)} of all {figures.step_count:,} steps"


def _started_ns(step: StepTime) -> int:
    return sum(part.time_ns for part in step.idle_by_cause if part.cause == "first_use")


def longest(figures: Shown) -> list[str]:
    """Of steps that differ, the longest and what it has more of than the one that is shown."""
    step, other = figures.step, figures.longest
    if step is None or other is None or not steps_differ((step, other)):
        return []
    why = " and ".join(f"{duration(ns, 2)} more {what}" for ns, what in _more_of(step, other)[:2])
    name = cut(visible(other.name), MAX_NAME)
    return [f"The longest, {name}, takes {duration(other.device_ns)}{f': {why}' if why else ''}."]


def _differing(figures: Shown, steps: Sequence[StepTime]) -> list[str]:
    """That steps take different times, where the one that is shown is about as long as the longest."""
    if figures.step is None or not steps_differ(steps):
        return []
    least, most = (duration(f(step.device_ns for step in steps)) for f in (min, max))
    return [f"Steps differ, {least} to {most}: these figures are of {figures.name}."]


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
