"""What a run of `profile` has captured, or why nothing, in a line."""

from __future__ import annotations

from collections.abc import Sequence

from traceanalyzer.collect.run import Outcome
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import exit_status
from traceanalyzer.collect.session import CaptureResult

_STEP = "ProfilerStep#"


def captured(taken: CaptureResult, trace: str) -> str:
    """Said as soon as it is: the script may run on for hours."""
    return f"captured {_steps(taken.steps)} (counted from 0), wrote {trace}; the script runs on"


def shortfall(outcome: Outcome, plan: Schedule) -> str | None:
    """What is missing, with the fix; None where all that was asked for is there."""
    taken = outcome.taken
    if taken is None:
        return f"nothing was captured: {_why(outcome, plan)}"
    if taken.unfinished is None:
        return None
    within = taken.unfinished.removeprefix(_STEP)
    count = f"{len(taken.steps)} of {plan.active}"
    return f"captured {_steps(taken.steps)} ({count}); the script ended within step {within}"


def _steps(names: Sequence[str]) -> str:
    numbers = [name.removeprefix(_STEP) for name in names]
    if not numbers:
        return "no whole step"
    return f"step {numbers[0]}" if len(numbers) == 1 else f"steps {numbers[0]} to {numbers[-1]}"


def _why(outcome: Outcome, plan: Schedule) -> str:
    if not outcome.torch_imported:
        return "the script never imported torch. Fix: profile the script that trains"
    if outcome.steps:
        return _too_few(outcome.steps, plan)
    if status := exit_status(outcome.code):
        return f"the script ended with exit code {status} before its first step. Fix: mend it, then run again"
    if outcome.beat is not None:
        return "the steps ran in threads that ended before any made enough of them. Fix: let one thread train"
    return (
        "no optimizer stepped and no module was called in this process. Fix: where child processes train, "
        "start them with torchrun; a loop without either marks its steps with traceanalyzer.profile()"
    )


def _too_few(steps: int, plan: Schedule) -> str:
    shorter = plan.within(steps)
    fix = "let it run for longer" if shorter is None else (
        f"let it run for longer, or --wait {shorter.wait} --warmup {shorter.warmup} --active {shorter.active}"
    )  # fmt: skip
    made = f"{steps} step{'s' if steps != 1 else ''}"
    return (
        f"the script made {made}; {plan.wait} go by and {plan.warmup} warm up before any is captured. "
        f"Fix: {fix}"
    )
