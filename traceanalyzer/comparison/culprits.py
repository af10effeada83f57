"""Which single change is named: the largest, and of those that stand out from noise the largest.

With several runs a side a change stands out that is larger than what its runs differ by on both sides
together. Single runs do not tell; there, of a step that did not change, only what is new, gone or has become
something else is sure to be a change. Idle time whose cause is unknown names nothing: what has a name and is
worth naming goes before it in the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from traceanalyzer.comparison.matching import Matched
from traceanalyzer.comparison.sides import Side
from traceanalyzer.records.comparison import CauseChange, Change, Culprit, StepChange
from traceanalyzer.records.vocabulary import IDLE_RULES

_EXPLAINS_SHARE = 0.5  # of the change, by what a suggestion may save at most
WORTH_NAMING = 0.01  # of the step
Among = Literal["all", "direction", "beyond_runs", "other"]


class Named(msgspec.Struct, frozen=True):
    """The change that the sentence names, and what it is the largest of."""

    change: Culprit
    among: Among
    beyond_drift: bool = False  # and larger ones are no more than what is the same on both sides changes by
    unknown: Culprit | None = None  # a larger change of idle time, whose cause nobody knows
    finding: str = ""  # title of what only one side is advised on, and explains a change of idle time


class _Candidate(msgspec.Struct, frozen=True):
    change: Culprit
    is_other: bool
    ranges_ns: float
    within_noise: bool = False

    @property
    def beyond_runs(self) -> bool:
        return abs(self.change.change_ns) > self.ranges_ns


def largest(ops: Sequence[Matched], idle: Sequence[CauseChange], step: StepChange) -> Culprit | None:
    """The largest single change; of a step that is surely slower or faster, the largest in its direction."""
    return _largest([each.change for each in _candidates(ops, idle, None)], _direction(step))


def named(
    ops: Sequence[Matched], idle: Sequence[CauseChange], step: StepChange, window: Change,
    base: Side, head: Side,
) -> Named | None:  # fmt: skip
    """What the sentence names: nothing that could be noise where that is known."""
    every = list(_candidates(ops, idle, (base, head)))
    candidates = [each for each in every if not each.within_noise]
    direction, several = _direction(step), min(len(base.runs), len(head.runs)) > 1
    if several:
        candidates = [each for each in candidates if each.beyond_runs]
    elif step.verdict == "no_change":
        candidates = [each for each in candidates if each.is_other]
    changes = [each.change for each in candidates]
    change = _named_first(changes, direction, window)
    if change is None or abs(change.change_ns) < WORTH_NAMING * max(window.base, 1):
        return None
    unknown = _largest(changes, direction or change.change_ns)
    among: Among = "beyond_runs" if several else "other" if step.verdict == "no_change" else (
        "all" if change == _named_first(changes, 0, window) else "direction")  # fmt: skip
    unknown = unknown if unknown != change and unknown and _is_unknown(unknown) else None
    waiting = change if change.kind == "idle" else unknown
    larger = [each for each in every if each.within_noise and each.change.change_ns * change.change_ns > 0
              and abs(each.change.change_ns) > abs(change.change_ns)]  # fmt: skip
    beyond = bool(larger) and among in ("all", "direction")
    return Named(change, among, beyond, unknown, _finding(waiting, base, head) if waiting else "")


def _finding(change: Culprit, base: Side, head: Side) -> str:
    """Of what a wait that came or went is due to: `The host waits for the device inside the step`.

    A wait shows where the device runs dry, which may be a while after what emptied it.
    """
    side, other = (head, base) if change.change_ns > 0 else (base, head)
    elsewhere = {each.rule for run in other.runs for each in run.suggestions or ()}
    fitting = [
        (each.saving_per_step_ns.high, each.title) for each in side.runs[0].suggestions or ()
        if each.rule in IDLE_RULES and each.rule not in elsewhere and each.saving_per_step_ns
        and each.saving_per_step_ns.high >= _EXPLAINS_SHARE * abs(change.change_ns)
    ]  # fmt: skip
    all_advised = all(run.suggestions is not None for run in (*other.runs, side.runs[0]))
    return max(fitting)[1] if fitting and all_advised else ""


def _direction(step: StepChange) -> int:
    """A sign of the changes that made the step what it is; 0 where no change is sure."""
    return (step.change or 0) if step.verdict in ("faster", "slower") else 0


def _candidates(
    ops: Sequence[Matched], idle: Sequence[CauseChange], sides: tuple[Side, Side] | None
) -> Iterator[_Candidate]:
    for op in ops:
        change = Culprit("op", op.shown.name, op.shown.change_ns)
        yield _Candidate(change, op.shown.match != "matched", op.ranges_ns, op.shown.within_noise)
    for part in idle:
        ranges = sum(side.range_of_idle(part.cause) for side in sides or ())
        yield _Candidate(Culprit("idle", part.cause, part.change), False, ranges)


def _named_first(changes: Sequence[Culprit], direction: int, window: Change) -> Culprit | None:
    """The largest that is no idle time of unknown cause, where that is worth naming."""
    with_name = _largest([each for each in changes if not _is_unknown(each)], direction)
    worth = with_name is not None and abs(with_name.change_ns) >= WORTH_NAMING * max(window.base, 1)
    return with_name if worth else _largest(changes, direction)


def _is_unknown(change: Culprit) -> bool:
    return (change.kind, change.name) == ("idle", "unknown")


def _largest(changes: Sequence[Culprit], direction: int) -> Culprit | None:
    """With a direction, which is a change's sign, the largest in it."""
    fitting = [each for each in changes if each.change_ns * direction >= 0]
    most = max(fitting, key=lambda each: abs(each.change_ns), default=None)
    return most if most is not None and most.change_ns else None
