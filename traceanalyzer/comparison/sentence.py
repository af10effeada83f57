"""The first line of a comparison: the step, by how much, how surely, and where."""

from __future__ import annotations

from traceanalyzer.comparison.culprits import Named
from traceanalyzer.records.comparison import Change, Culprit, StepChange
from traceanalyzer.records.units import duration, percent

_NAME = 60  # characters


def sentence_of(
    step: StepChange, window: Change, named: Named | None, *, why: str, have_steps: tuple[bool, bool],
    shared: bool = False, recorded: bool = False, settling: str = "",
) -> str:  # fmt: skip
    """`why`: the message of the first reason for which the work is not the same; `have_steps`: base and head.

    `shared`: base and head have a run in common, which no change can be seen of. `recorded`: what the steps
    take without the profiler is known too, so that the line has to say which it is about. `settling`: how
    many steps would tell a change that is lost in noise.
    """
    line = _told(step, window, have_steps, " under the profiler" if recorded else "", settling)
    if have_steps[0] == have_steps[1]:
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
    of = {
        "all": f"The largest single change{with_name} is",
        "direction": f"The largest single {direction}{with_name} is",
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
