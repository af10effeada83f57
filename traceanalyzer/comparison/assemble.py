"""The Comparison, built once from two sides."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from msgspec import structs

from traceanalyzer.comparison import conditions, culprits, noise
from traceanalyzer.comparison.conditions import MINIMUM_CHANGE_SHARE
from traceanalyzer.comparison.drift import drift_of, told_from_noise
from traceanalyzer.comparison.matching import op_changes
from traceanalyzer.comparison.one_program import other_program
from traceanalyzer.comparison.same_work import same_work
from traceanalyzer.comparison.sentence import sentence_of
from traceanalyzer.comparison.sides import Side
from traceanalyzer.records import IDLE_CAUSES, VERDICTS, Analysis, Tool
from traceanalyzer.records.comparison import (
    OTHER_WORK,
    CauseChange,
    Change,
    Comparison,
    MemoryBoundChange,
    MemoryChange,
    Settings,
    SideInfo,
    StepChange,
    StepVerdict,
    VerdictChange,
)
from traceanalyzer.records.units import whole_percent

_ONE_RUN = "one run a side: the interval leaves out how much runs differ from each other"


def comparison_of(
    base_runs: Sequence[Analysis], head_runs: Sequence[Analysis], *, shared: bool = False
) -> Comparison:
    """At least one run a side. `shared`: a run of one side is one of the other, too."""
    base, head = Side(tuple(base_runs)), Side(tuple(head_runs))
    work, step = same_work(base, head), _step(base, head)
    window = Change.of(base.window_ns, head.window_ns)
    matched, several = op_changes(base, head), min(len(base.runs), len(head.runs)) > 1
    drift = drift_of(matched, window)
    ops = told_from_noise(matched, drift, several=several)
    idle = tuple(
        CauseChange(cause, was, now, now - was) for cause in IDLE_CAUSES
        for was, now in ((base.idle_by_cause[cause], head.idle_by_cause[cause]),)
    )  # fmt: skip
    why = next((reason.message for reason in work.reasons if reason.code in OTHER_WORK), "")
    without, apart = _unprofiled(base, head), conditions.recorded_apart(base, head, work, drift)
    answer = conditions.agreement(step, without, base, head)
    named = culprits.named(ops, idle, conditions.settled(step, answer), window, base, head)
    sentence = sentence_of(
        step, window, named, why="" if work.same else why, have_steps=(base.has_steps, head.has_steps),
        shared=shared, without=without, answer=answer, apart=apart,
        settling="" if shared else _settling(base, head, step),
    )  # fmt: skip
    return Comparison(
        tool=Tool("traceanalyze", version("torch-traceanalyzer")),
        sentence=sentence,
        settings=Settings(
            confidence=noise.CONFIDENCE, resamples=noise.RESAMPLES, seed=noise.SEED,
            minimum_change_share=MINIMUM_CHANGE_SHARE,
        ),
        base=_info(base), head=_info(head), same_work=work, step_ns=step, window_ns=window,
        busy_ns=Change.of(base.busy_ns, head.busy_ns), idle_ns=Change.of(base.idle_ns, head.idle_ns),
        idle_by_cause=idle, verdicts=_verdicts(base, head), memory_bound=_memory_bound(base, head),
        unprofiled_step_ns=without, memory=_memory(base, head), recorded_apart=apart, drift=drift,
        culprit=culprits.largest(ops, idle, step), ops=tuple(each.shown for each in ops),
    )  # fmt: skip


def _info(side: Side) -> SideInfo:
    """Warned of where its runs are of several programs."""
    notice = other_program(side.runs)
    return structs.replace(side.info, warnings=(*side.info.warnings, notice.code)) if notice else side.info


def _verdicts(base: Side, head: Side) -> tuple[VerdictChange, ...]:
    pairs = ((verdict, base.verdicts[verdict], head.verdicts[verdict]) for verdict in VERDICTS)
    return tuple(VerdictChange(verdict, was, now, now - was) for verdict, was, now in pairs)


def _memory_bound(base: Side, head: Side) -> MemoryBoundChange | None:
    was, now = base.memory_at_roof_ns, head.memory_at_roof_ns
    if was is None or now is None:
        return None
    below = (base.verdicts["memory_bound"] - was, head.verdicts["memory_bound"] - now)
    return MemoryBoundChange(Change.of(was, now), Change.of(*below))


def _step(base: Side, head: Side) -> StepChange:
    """The median step; what it says of noise follows from `noise.change_interval`."""
    before, after = base.durations, head.durations
    if before is None or after is None:
        return _unknown(_without_durations(base, head))
    medians = [round(noise.median(runs)) for runs in (before, after)]
    change = medians[1] - medians[0]
    share = change / medians[0] if medians[0] else None
    interval = noise.change_interval(before, after)
    if interval is None or share is None:
        least = noise.fewest_steps(before, after)
        few = f"{least} step{'s' if least != 1 else ''} on a side, {noise.LEAST_STEPS} are needed"
        return _unknown(f"{few}; record more on both sides", *medians)
    verdict: StepVerdict = "no_change"
    if interval.excludes(0.0) and abs(share) >= MINIMUM_CHANGE_SHARE:
        verdict = "slower" if change > 0 else "faster"
    single = min(len(before), len(after)) == 1
    return StepChange(
        base=medians[0], head=medians[1], change=change, change_share=share, low=round(interval.low),
        high=round(interval.high), confidence=noise.CONFIDENCE, verdict=verdict,
        reason=_ONE_RUN if single else None,
    )  # fmt: skip


def _settling(base: Side, head: Side, step: StepChange) -> str:
    """How many steps or runs tell the least change that is worth it from noise; "" where none are needed.

    None are once the interval excludes 0, or holds no change that is worth telling. The change that was
    measured foretells nothing: where noise hides it, it is mostly noise itself.
    """
    before, after = base.durations, head.durations
    if step.verdict != "no_change" or before is None or after is None or not step.base:
        return ""
    low, high, change = float(step.low or 0), float(step.high or 0), float(step.change or 0)
    least = MINIMUM_CHANGE_SHARE * step.base
    if not low <= 0 <= high or max(-low, high) < least:
        return ""
    if min(len(before), len(after)) == 1 < max(len(before), len(after)):
        return f"; more runs of the {'base' if len(before) == 1 else 'head'} may tell"
    count = noise.enough(before, after, max(change - low, high - change), least)
    several = "runs" if len(before) > 1 else "steps"
    if count is None:
        return f"; more {several} on both sides may tell"
    smallest = whole_percent(MINIMUM_CHANGE_SHARE)
    return f"; about {_rounded_up(count)} {several} a side tell a change of {smallest} from noise"


def _rounded_up(count: int) -> int:
    """To two digits: 137 is 140."""
    return count if count < 100 else -(-count // 10) * 10


def _unknown(reason: str, base: int | None = None, head: int | None = None) -> StepChange:
    change = head - base if base is not None and head is not None else None
    share = change / base if change is not None and base else None
    return StepChange(
        base=base, head=head, change=change, change_share=share, low=None, high=None,
        confidence=noise.CONFIDENCE, verdict="cannot_tell", reason=reason,
    )  # fmt: skip


def _without_durations(base: Side, head: Side) -> str:
    lacking = [name for name, side in (("base", base), ("head", head)) if not side.has_steps]
    if lacking:
        return "the traces have no steps" if len(lacking) == 2 else f"the {lacking[0]} has no steps"
    return f"a report of the {'head' if base.durations else 'base'} does not hold the times of its steps"


def _unprofiled(base: Side, head: Side) -> Change | None:
    """The median of the runs' own medians."""
    before, after = conditions.medians(base), conditions.medians(head)
    return None if before is None or after is None else Change.of(before, after)


def _memory(base: Side, head: Side) -> MemoryChange | None:
    """What the collector saw, else what memory rows of the shown step tell."""
    sides = (base, head)
    peaks = [max(run.recording.peak_memory_bytes or 0 if run.recording else 0 for run in side.runs)
             for side in sides]  # fmt: skip
    if not all(peaks):
        peaks = [max(run.memory.peak_bytes if run.memory else 0 for run in side.runs) for side in sides]
    reserved = [max((run.memory.reserved_bytes or 0) if run.memory else 0 for run in side.runs)
                for side in sides]  # fmt: skip
    if not all(peaks):
        return None
    return MemoryChange(Change.of(*peaks), Change.of(*reserved) if all(reserved) else None)
