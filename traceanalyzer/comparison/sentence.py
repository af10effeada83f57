"""The first line of a comparison: the step, by how much, how surely, and where."""

from __future__ import annotations

from traceanalyzer.comparison.conditions import MINIMUM_CHANGE_SHARE, Agreement
from traceanalyzer.comparison.culprits import Named
from traceanalyzer.records.comparison import Change, Culprit, StepChange
from traceanalyzer.records.units import duration, percent

_NAME = 60  # characters


def sentence_of(
    step: StepChange, window: Change, named: Named | None, *, why: str, have_steps: tuple[bool, bool],
    shared: bool = False, without: Change | None = None, answer: Agreement = "agree",
    apart: str | None = None, settling: str = "",
) -> str:  # fmt: skip
    """`why`: the message of the first reason for which the work is not the same; `have_steps`: base and head.

    `shared`: base and head have a run in common, which no change can be seen of. `without`: what the steps
    take without the profiler, where it is known, so that the line has to say which it is about; `answer`:
    whether both say the same. `apart`: why the recordings do not compare. `settling`: how many steps would
    tell a change that is lost in noise.
    """
    is_told_twice = without is not None and answer != "agree" and not apart
    if apart and have_steps[0] == have_steps[1]:
        line = f"The two recordings do not compare: {apart}. {_not_compared(step, window, without)}"
    elif is_told_twice and without is not None:
        line = _contradicted(step, without, answer)
    else:
        line = _told(step, window, have_steps, "" if without is None else " under the profiler", settling)
    if have_steps[0] == have_steps[1] and not apart:
        line += _where(named)
    if shared:
        line = f"Base and head are the same file. {line}"
    return f"Not the same work ({why}): {line[0].lower()}{line[1:]}" if why else line


def _told(
    step: StepChange, window: Change, have_steps: tuple[bool, bool], recorded: str, settling: str
) -> str:
    if have_steps[0] != have_steps[1]:
        first, second = (("a step", "the whole trace")[not steps] for steps in have_steps)
        return (
            f"{first[0].upper()}{first[1:]} of the base takes {duration(window.base)}, {second} of the head "
            f"{duration(window.head)}, which cannot be compared: {step.reason}."
        )
    what = f"step{recorded}" if have_steps[0] else "trace"
    if step.base is None or step.head is None or step.change is None:
        return f"The {what} takes {_from_to(window)}; whether that is noise cannot be told: {step.reason}."
    values = Change.of(step.base, step.head)
    if step.verdict == "cannot_tell":
        return f"The {what} takes {_from_to(values)}; whether that is noise cannot be told: {step.reason}."
    if step.verdict == "no_change":
        return f"{_unchanged(step, what)}: {_from_to(values)}{_interval(step)}{settling}."
    share = percent(abs(step.change_share or 0))
    by = ", by one run a side" if step.reason else ""
    return (
        f"The {what} is {duration(abs(step.change), 2)} ({share}) {step.verdict}{by}: {_from_to(values)}"
        f"{_interval(step)}."
    )


def _not_compared(step: StepChange, window: Change, without: Change | None) -> str:
    """What each took, and no more."""
    of_steps = step.base is not None and step.head is not None
    values = Change.of(step.base or 0, step.head or 0) if of_steps else window
    if without is None:
        return f"The {'step' if of_steps else 'trace'} takes {_from_to(values)}."
    return f"The step under the profiler takes {_from_to(values)}; without it {_from_to(without)}."


def _contradicted(step: StepChange, without: Change, answer: Agreement) -> str:
    """Both changes, where they are not the same; that without the profiler, which is the script's, first."""
    under = Change.of(step.base or 0, step.head or 0)
    by = ", by one run a side" if step.reason and step.verdict != "cannot_tell" else ""
    unsure = f"; {step.reason}" if step.verdict == "cannot_tell" else ""
    if answer == "opposite":
        return (
            f"Without the profiler the step is {_by(without)}, under it {_by(under)}{by}: "
            f"{_from_to(without)}, and {_from_to(under)}{_interval(step)}. The profiler and the load of the "
            f"machine hide which is true{unsure}."
        )
    return (
        f"Without the profiler the step is {_by(without)}: {_from_to(without)}; under it {_by(under)}{by}: "
        f"{_from_to(under)}{_interval(step)}. The profiler or the load of the machine is part of one of them."
    )


def _by(change: Change) -> str:
    """`20 ms (5.9 %) faster`."""
    share = change.change / change.base if change.base else 0.0
    if abs(share) < MINIMUM_CHANGE_SHARE:
        return f"as long as before, to {percent(MINIMUM_CHANGE_SHARE, 0)}"
    return f"{duration(abs(change.change), 2)} ({percent(abs(share))}) {'slower' if share > 0 else 'faster'}"


def _unchanged(step: StepChange, what: str) -> str:
    """A change that is small, or one that could be noise."""
    if step.low is not None and step.high is not None and step.low <= 0 <= step.high:
        return f"No change of the {what} stands out from the noise"
    return f"The {what} takes as long as before, to 1 %"


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


def _where(named: Named | None) -> str:
    if named is None:
        return ""
    direction = "increase" if named.change.change_ns > 0 else "decrease"
    with_name = " with a name" if named.unknown else ""
    drift = " beyond what unchanged operators drift by" if named.beyond_drift else ""
    of = {
        "all": f"The largest single change{with_name}{drift} is",
        "direction": f"The largest single {direction}{with_name}{drift} is",
        "beyond_runs": f"The largest single change{with_name} beyond the noise of runs is",
        "other": "Of what is new, gone or replaced the largest is",
    }[named.among]
    unknown = f", beside {_named(named.unknown)}" if named.unknown else ""
    return f"{_finding(named)} {of} {_named(named.change)}{unknown}."


def _finding(named: Named) -> str:
    """What the side with more idle time alone is advised on."""
    if not named.finding:
        return ""
    waiting = named.unknown or named.change
    where = "Advised only in the head" if waiting.change_ns > 0 else "Advised only in the base"
    return f" {where}: {named.finding[0].lower()}{named.finding[1:]}."


def _named(culprit: Culprit) -> str:
    """`aten::mm: +3.2 ms`."""
    name = culprit.name if len(culprit.name) <= _NAME else f"{culprit.name[: _NAME - 1]}…"
    what = f"idle time ({cause_label(name)})" if culprit.kind == "idle" else name
    return f"{what}: {signed(culprit.change_ns)}"


def cause_label(cause: str) -> str:
    """`launch gap`; of idle time that nothing explains, that its cause is unknown."""
    return "cause unknown" if cause == "unknown" else cause.replace("_", " ")
