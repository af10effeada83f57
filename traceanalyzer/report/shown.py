"""Which times a report shows first: of each step, of one of them, or of the trace.

Where steps differ, an average is of no step that was there: then it is the step whose time on the device is
the lower median. What the profiler itself did is time that the step does not take without it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from traceanalyzer.records import Analysis, IdlePart, SavingOf, StepTime, Suggestion, Verdict
from traceanalyzer.records.times import kind_name, shown_step
from traceanalyzer.records.units import duration, no_less_than
from traceanalyzer.report.sanitize import cut, visible

_PER: Mapping[SavingOf, str] = {
    "each_step": "per step",
    "shown_step": "of {name}",
    "step_of_kind": "per step of another kind",
    "mean_step": "per step, averaged over all {count:,} steps",
    "trace": "of the trace",
}
MAX_NAME = 60  # characters of a step's name, or of what the host did
_PROFILER_SHARE = 0.01  # of the window: less of the profiler's own work is not taken off


class Shown(msgspec.Struct, frozen=True):
    """Times in ns, busy + idle = window; divided by `count` they are those of a step, or of the trace."""

    step: StepTime | None  # the one that they are of, where steps differ
    longest: StepTime | None  # of those steps
    step_count: int | None  # that they are of; None for a trace without steps
    window_ns: int
    busy_ns: int
    idle_ns: int
    verdict_ns: Mapping[Verdict, int]
    at_roof_ns: Mapping[Verdict, int | None]  # of it, at a roof; None: not known
    idle_by_cause: tuple[IdlePart, ...]

    def each(self, ns: float) -> float:
        """`ns` of the whole as those of a step; unchanged for one step, or a trace without steps."""
        return ns / (self.step_count or 1)

    def share(self, verdict: Verdict) -> float:
        """Of busy time."""
        return self.verdict_ns.get(verdict, 0) / self.busy_ns if self.busy_ns else 0.0

    def of_window(self, ns: float) -> float:
        """`ns` as a share of the window, or of the one step."""
        return ns / self.window_ns if self.window_ns else 0.0

    @property
    def profiler_ns(self) -> int:
        """The profiler's own work while the device waited, where it is enough to be taken off."""
        time_ns = sum(part.time_ns for part in self.idle_by_cause if part.cause == "profiler")
        return time_ns if time_ns > _PROFILER_SHARE * self.window_ns else 0

    @property
    def waiting_ns(self) -> int:
        """Idle time without the profiler's own work."""
        return self.idle_ns - self.profiler_ns

    @property
    def mostly_idle(self) -> bool:
        """Whether idle time is the largest part of the window."""
        return self.waiting_ns > max(self.verdict_ns.values(), default=0)

    @property
    def name(self) -> str:
        """Of the one step, else nothing."""
        return cut(visible(self.step.name), MAX_NAME) if self.step else ""

    @property
    def heading(self) -> str:
        """Over a column of such times: `per step`, `ProfilerStep#7`, `time`."""
        return self.name or ("time" if self.step_count is None else "per step")

    def amount(self, ns: float, *, at_least: bool = False) -> str:
        """`38 ms of each 97 ms step`, `5 ms of the 74 ms step ProfilerStep#6`, `38 ms of the trace's 97 ms`.

        The whole is without the profiler's own work. `at_least`: the part is a lower bound, and stays one.
        """
        part = no_less_than(self.each(ns)) if at_least else duration(self.each(ns), 2)
        whole = duration(self.each(self.window_ns - self.profiler_ns), 2)
        if self.step_count is None:
            return f"{part} of the trace's {whole}"
        which = "each" if self.step_count > 1 else "the"
        return f"{part} of {which} {whole} step{f' {self.name}' if self.step else ''}"


def shown(analysis: Analysis) -> Shown:
    """The times of the step that is shown, or of all steps, which are alike, or of the trace."""
    window, step = analysis.window, shown_step(analysis.step_rows, analysis.window.kinds)
    if step is None:
        return Shown(
            None, None, window.step_count, window.window_ns, analysis.time.busy_ns, analysis.time.idle_ns,
            {part.verdict: part.time_ns for part in analysis.verdicts},
            {part.verdict: part.at_roof_ns for part in analysis.verdicts}, analysis.time.idle_by_cause,
        )  # fmt: skip
    busy = sum(part.time_ns for part in step.verdicts)
    return Shown(
        step, max(analysis.step_rows or (step,), key=lambda s: s.device_ns), 1, step.device_ns, busy,
        step.device_ns - busy, {part.verdict: part.time_ns for part in step.verdicts},
        {part.verdict: part.at_roof_ns for part in step.verdicts}, step.idle_by_cause,
    )  # fmt: skip


def is_of_the_host(analysis: Analysis) -> bool:
    """Whether the times are the host's, for the activity of the device that worked is not in the trace."""
    return any(reason.reason == "not_recorded" for reason in analysis.coverage.reasons)


def busy_words(analysis: Analysis) -> str:
    """What shares of rows are of: a host that prepared a device's work was not busy as a device is."""
    if is_of_the_host(analysis):
        return "the host's time in operators"
    return "busy time" if analysis.device.kind == "gpu" else "the time in operators"


def per_step(analysis: Analysis, ns: float) -> float:
    """`ns` of the window as rows of tables show it: per step where steps are alike, else all of it."""
    return (
        ns
        if shown_step(analysis.step_rows, analysis.window.kinds)
        else ns / (analysis.window.step_count or 1)
    )


def counted(number: float) -> str:
    """A count per step: whole where it is in each, else with a decimal."""
    return f"{number:,.0f}" if number >= 100 or number == round(number) else f"{number:,.1f}"


def rows_heading(analysis: Analysis) -> str:
    """Over a column of such times: `per step`, `all 4 steps`, `time`."""
    if analysis.window.step_count is None:
        return "time"
    alike = shown_step(analysis.step_rows, analysis.window.kinds) is None
    return "per step" if alike else f"all {analysis.window.step_count:,} steps"


def per(analysis: Analysis) -> str:
    """What times that are shown are of: `per step`, `of ProfilerStep#6`, `of the trace`."""
    return _per(_shown_part(analysis), analysis)


def steps_of_kind(analysis: Analysis, suggestion: Suggestion) -> list[StepTime]:
    """The steps of the kind that its saving is of; none where it is of no single kind."""
    of, kinds = suggestion.step_kind, analysis.window.kinds or ()
    names = next((k.steps for at, k in enumerate(kinds) if of and of.name == kind_name(at)), ())
    return [step for step in analysis.step_rows or () if step.name in names]


def per_saving(analysis: Analysis, suggestion: Suggestion) -> str:
    """What a saving is of: likewise, or `per step, averaged over all 4 steps`, `per step of kind B, 3 of 12
    steps`."""
    steps = suggestion.step_kind
    if suggestion.saving_of == "step_of_kind" and steps is not None:
        return f"per step of kind {steps.name}, {steps.steps:,} of {steps.of:,} steps"
    return _per(suggestion.saving_of or _shown_part(analysis), analysis)


def _per(part: SavingOf, analysis: Analysis) -> str:
    name, count = shown(analysis).name or "the step", analysis.window.step_count or 1
    return _PER[part].format(name=name, count=count)


def _shown_part(analysis: Analysis) -> SavingOf:
    figures = shown(analysis)
    if figures.step:
        return "shown_step"
    return "trace" if figures.step_count is None else "each_step"
