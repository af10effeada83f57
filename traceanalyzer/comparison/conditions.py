"""Whether both sides were recorded under the same conditions, and whether the profiler changes the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import structs

from traceanalyzer.comparison import noise
from traceanalyzer.comparison.sides import Side
from traceanalyzer.records.comparison import Change, Drift, SameWork, StepChange
from traceanalyzer.records.units import digits, percent

Agreement = Literal["agree", "differ", "opposite"]
MINIMUM_CHANGE_SHARE = 0.01  # a change by less is none
_FAR_BELOW = "far_below_roofs"
_APART = 1.5  # times as long, that what is the same on both sides takes in the loaded recording
_SIMILAR = 0.25  # of a change, by which it may be another without the profiler, whose own time changes
_MIDDLE = (0.1, 0.9)  # quantiles, between which most steps are


def recorded_apart(base: Side, head: Side, work: SameWork, drift: Drift | None) -> str | None:
    """Why the recordings do not compare: large kernels of one side alone came near none of their roofs.

    Not where what is the same on both sides took as long in either: then its kernels were bad ones.
    """
    loaded = [any(n.code == _FAR_BELOW for run in side.runs for n in run.source.warnings)
              for side in (base, head)]  # fmt: skip
    if loaded[0] == loaded[1] or any(reason.code == "device" for reason in work.reasons):
        return None
    slow, other = (("base", base), ("head", head))[:: 1 if loaded[0] else -1]
    times = None if drift is None else 1 / drift.ratio if loaded[0] else drift.ratio
    if times is not None and times < _APART:
        return None
    reached = [side.reached_of_roofs for _, side in (slow, other)]
    text = f"what a roof could limit reached {_share(reached[0])} of it in the {slow[0]}, "
    text += f"{_share(reached[1])} in the {other[0]}"
    if times is not None:
        text += f", and the median operator of both took {digits(times)} times as long in the {slow[0]}"
    return f"{text}: record the {slow[0]} again, on a quiet machine"


def _share(reached: float | None) -> str:
    return "an unknown part" if reached is None else percent(reached)


def agreement(step: StepChange, without: Change | None, base: Side, head: Side) -> Agreement:
    """Whether the step without the profiler changed as that under it, within what steps differ by."""
    if without is None or not without.base or step.change_share is None or not step.base:
        return "agree"
    under, plain = step.change_share, without.change / without.base
    if min(abs(under), abs(plain)) >= MINIMUM_CHANGE_SHARE and (under > 0) != (plain > 0):
        return "opposite"
    if step.verdict == "cannot_tell":
        return "agree"  # nothing is said that the other could contradict
    spread = (_spread(base.durations) + _spread(head.durations)) / step.base
    allowed = max(MINIMUM_CHANGE_SHARE, spread, _SIMILAR * max(abs(under), abs(plain)))
    return "differ" if abs(under - plain) > allowed else "agree"


def _spread(runs: Sequence[Sequence[int]] | None) -> float:
    """Half of what most steps of a side lie in."""
    if not runs:
        return 0.0
    low, high = np.quantile(np.concatenate([np.asarray(run, np.float64) for run in runs]), _MIDDLE)
    return float(high - low) / 2


def settled(step: StepChange, answer: Agreement) -> StepChange:
    """What causes may be named of: no direction where the times without the profiler have another."""
    is_sure = step.verdict in ("faster", "slower")
    return structs.replace(step, verdict="no_change") if answer == "opposite" and is_sure else step


def medians(side: Side) -> int | None:
    """Of the runs' own medians without the profiler; None where a run has none."""
    times = [run.recording.unprofiled_step_ns for run in side.runs if run.recording is not None]
    measured = [time for time in times if time is not None]
    return round(noise.median([measured])) if len(measured) == len(side.runs) else None
