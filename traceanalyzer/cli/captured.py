"""The line that says what a run of `profile` captured, or why nothing."""

from __future__ import annotations

from traceanalyzer.collect.capture import STEP_PREFIX, CaptureResult
from traceanalyzer.collect.run import Outcome
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import exit_status


def captured(result: CaptureResult, trace: str, *, ends: bool = False) -> str:
    """Printed as soon as the trace is saved: the script may run for hours, but where it `ends` now."""
    line = f"captured {result.named_steps} (counted from 0), wrote {trace}"
    return line if ends else f"{line}; the script continues"


def shortfall(outcome: Outcome, schedule: Schedule) -> str | None:
    """What is missing, with the fix; None where all that was asked for is there."""
    result = outcome.result
    if result is None:
        return f"nothing was captured: {_why(outcome, schedule)}"
    if result.unfinished is None:
        return None
    within = result.unfinished.removeprefix(STEP_PREFIX)
    count = f"{len(result.steps)} of {schedule.active}"
    return f"captured {result.named_steps} ({count}); the script ended within step {within}"


def _why(outcome: Outcome, schedule: Schedule) -> str:
    if not outcome.torch_imported:
        return "the script never imported torch. Fix: profile the script that trains"
    if outcome.steps:
        return _too_few(outcome.steps, schedule)
    if status := exit_status(outcome.code):
        return f"the script ended with exit code {status} before its first step. Fix: fix it, then run again"
    if outcome.anchor is not None:
        return "the steps ran in threads that ended before any of them made enough. Fix: train in one thread"
    return (
        "no optimizer stepped and no module was called in this process. Fix: where child processes train, "
        "start them with torchrun; a loop without either marks its steps with traceanalyzer.profile()"
    )


def _too_few(steps: int, schedule: Schedule) -> str:
    shorter = schedule.within(steps)
    fix = "run it for longer" if shorter is None else (
        f"run it for longer, or --wait {shorter.wait} --warmup {shorter.warmup} --active {shorter.active}"
    )  # fmt: skip
    count = f"{steps} step{'s' if steps != 1 else ''}"
    return (
        f"the script made {count}; {schedule.wait} are waited for and {schedule.warmup} warm up before "
        f"any is captured. Fix: {fix}"
    )
