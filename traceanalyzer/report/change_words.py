"""What the suggestions would save, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from traceanalyzer.records import Analysis, Suggestion
from traceanalyzer.records.pace import paced_ns
from traceanalyzer.records.times import typical_step
from traceanalyzer.records.units import duration
from traceanalyzer.records.vocabulary import IDLE_RULES, SHARING_ON_CPU
from traceanalyzer.report.shown import per_saving, shown, steps_of_kind

_LEAST_THROUGH = 0.02  # of what a change saves of busy time, that shortens the step; else it does not
_LESS = 0.05  # of what changes add up to, by which they have to save less together for that to be explained
_OF_HEADROOM = ("each_step", "shown_step", "trace")
_PACED = "the GPU then waits for the host"
_FREED = "less waiting lets shorter kernels count"
_ROOFS = "the roofs allow no more"
_WORTH_A_MINUTE = 0.01  # of the step: what is likely to save less does not come before what saves more
_NUMERALS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


class Together(msgspec.Struct, frozen=True):
    """What changes of one step save of it, in ns: `least` to `sure` is proved, `most` is by all of them.

    `why` says what leaves less than what is proved adds up to, `why_most` than all; "" where nothing can.
    """

    least: float
    sure: float
    most: float
    why: str = ""
    why_most: str = ""


def change_sentences(analysis: Analysis) -> list[str]:
    """What all suggestions would save together; what is of one step is not added to a mean of several."""
    groups: dict[str, list[Suggestion]] = {}
    for each in with_saving(analysis):
        groups.setdefault(per_saving(analysis, each), []).append(each)
    said: list[str] = []
    for of, changes in groups.items():
        said += _sentences(analysis, of, changes, " more" if said else "")
    return said


def _sentences(analysis: Analysis, of: str, changes: Sequence[Suggestion], more: str) -> Iterator[str]:
    """Of the changes of one step; those apart that shorten busy time alone."""
    counted, lost = ([each for each in changes if is_lost(each) == of_lost] for of_lost in (False, True))
    together, shared = saved_together(analysis, changes), shares_time(analysis, changes)
    if not lost:
        yield _saved(of, counted, together, more, shared=shared)
        return
    which = _changes_of(len(lost), " more" if counted else more)
    if counted:
        alone = _no_more(added(counted), together)
        sentence = _saved(of, counted, alone, more, shared=shared)
        if is_less(alone.most, together.most):
            which = (
                f"{_numeral(len(lost)).lower()} more, which alone shorten{'s' * (len(lost) == 1)} busy time"
            )
            yield f"{sentence.rstrip('.')}; with {which} only, up to {duration(together.most, 2)}."
            return
        yield sentence
    yield f"{which} would shorten busy time, for which the step does not wait: the host sets its pace."


def _no_more(alone: Together, other: Together) -> Together:
    """Each end, or that of the other where it is less."""
    least, sure = min(alone.least, other.least), min(alone.sure, other.sure)
    return Together(least, sure, min(alone.most, other.most), other.why, other.why_most)


def is_lost(change: Suggestion) -> bool:
    """Whether it shortens busy time, and the step by next to nothing."""
    band, busy = change.saving_per_step_ns, change.busy_saving_ns
    return busy is not None and (band is None or band.high <= _LEAST_THROUGH * busy.high)


def added(changes: Sequence[Suggestion]) -> Together:
    """What they save one by one, added up."""
    bands = [each.saving_per_step_ns for each in changes if each.saving_per_step_ns]
    sure = [band for band in bands if band.low]
    return Together(
        sum(band.low for band in sure), sum(band.high for band in sure), sum(band.high for band in bands)
    )


def saved_together(analysis: Analysis, changes: Sequence[Suggestion]) -> Together:
    """What changes of one step save of it: as the headroom has it, where that is of the same step.

    No headroom is known of steps of another kind.
    """
    room, of = analysis.headroom, changes[0].saving_of
    if of == "step_of_kind" and _is_paced(analysis, changes[0]):
        return _without_headroom(changes)
    if room is None or of not in _OF_HEADROOM:
        return added(changes)
    figures, at_roofs = shown(analysis), room.all_ns.low <= room.at_roofs_ns + 1
    paced = paced_ns(analysis.device.kind, figures.idle_by_cause, figures.window_ns)
    proved, most = room.proved_ns, room.now_ns - room.all_ns.low
    why, why_most = (_PACED if paced and not cut else _ROOFS for cut in (False, at_roofs))
    return Together(room.now_ns - proved.high, room.now_ns - proved.low, most, why, why_most)


def _without_headroom(changes: Sequence[Suggestion]) -> Together:
    """Where the host sets the pace changes of busy time save at least what the largest of them does alone."""
    idle, busy = (
        added([each for each in changes if (each.rule in IDLE_RULES) == of_idle]) for of_idle in (True, False)
    )
    alone = [added([each]) for each in changes if each.rule not in IDLE_RULES]
    least, sure = (max((getattr(each, end) for each in alone), default=0.0) for end in ("least", "sure"))
    return Together(idle.least + least, idle.sure + sure, idle.most + busy.most, _PACED, _PACED)


def cut_at_roofs(analysis: Analysis) -> bool:
    """Whether changes that the headroom counts would save more than the roofs allow."""
    counted = [each for each in with_saving(analysis) if each.saving_of in _OF_HEADROOM]
    together = saved_together(analysis, counted) if counted else Together(0.0, 0.0, 0.0)
    return together.why_most == _ROOFS and is_less(together.most, added(counted).most)


def _is_paced(analysis: Analysis, change: Suggestion) -> bool:
    """Whether the host sets the pace of the steps of its kind."""
    steps = steps_of_kind(analysis, change)
    step = typical_step(steps) if steps else None
    return step is not None and bool(paced_ns(analysis.device.kind, step.idle_by_cause, step.device_ns))


def is_less(part: float, whole: float) -> bool:
    """Whether it is so much less that a reader sees it, and has to be told why."""
    return part < (1 - _LESS) * whole and duration(part, 2) != duration(whole, 2)


def shares_time(analysis: Analysis, changes: Sequence[Suggestion]) -> bool:
    """Whether one of several changes saves time of operators that others make faster."""
    return analysis.device.kind == "cpu" and len(changes) > 1 and any(
        each.rule in SHARING_ON_CPU for each in changes
    )  # fmt: skip


def _saved(of: str, changes: Sequence[Suggestion], together: Together, more: str, *, shared: bool) -> str:
    """One sentence; savings that may be zero are stated apart. `shared`: as `shares_time` has it."""
    alone = added(changes)
    likely = [each for each in changes if each.saving_per_step_ns and not each.saving_per_step_ns.low]
    partly = ", partly of the same time" if shared else ""
    its = "they add up to" if len(changes) > 1 else "it takes off busy time"
    if together.least <= 0:
        why = f", not the {duration(alone.most, 2)} that {its}: {together.why_most}" if (
            is_less(together.most, alone.most)) else ""  # fmt: skip
        if is_less(alone.most, together.most):
            why = f", more than the {duration(alone.most, 2)} that {its}: {_FREED}"
        what = f"up to {duration(together.most, 2)} {of}{partly}"
        return f"{_changes_of(len(changes), more)} could save {what}, or nothing{why}."
    count = _changes_of(len(changes) - len(likely), more)
    text = f"{count} would save {span(together.least, together.sure)} {of}"
    others, most = f"{_numeral(len(likely)).lower()} more", duration(together.most, 2)
    if is_less(together.least, alone.least) or is_less(together.sure, alone.sure):
        text += f", not the {span(alone.least, alone.sure)} that {its}: {together.why}"
        return f"{text}; with {others}, up to {most}." if likely else f"{text}."
    if together.why == _PACED and any(each.busy_saving_ns for each in changes):
        text += f"{' together' if len(changes) - len(likely) > 1 else ''}: {_PACED}"
    if likely and is_less(added(changes).most, together.most):
        return f"{text}. With {others}, up to {most}: {_FREED}."
    if likely:
        text += f"; {others} could save up to {duration(added(likely).most, 2)}{partly}, or nothing"
        if is_less(together.most, alone.most):
            text += f", and all together no more than {most}: {together.why_most}"
    return f"{text}."


def _changes_of(count: int, more: str) -> str:
    """`One change`, `Two more changes`."""
    return f"{_numeral(count)}{more} change{'' if count == 1 else 's'}"


def _numeral(count: int) -> str:
    return _NUMERALS[count] if count < len(_NUMERALS) else f"{count:,}"


def with_saving(analysis: Analysis) -> list[Suggestion]:
    """Suggestions with a predicted time, the surest first."""
    timed = [
        s for s in analysis.suggestions or ()
        if is_lost(s) or (s.saving_per_step_ns and s.saving_per_step_ns.high > 0)
    ]  # fmt: skip
    return list(by_certainty(timed))


def by_certainty(suggestions: Sequence[Suggestion]) -> tuple[Suggestion, ...]:
    """What is sure, then what may be nothing, each by its mean over steps of all kinds; behind both what is
    next to nothing.
    """

    def sure(each: Suggestion) -> tuple[bool, bool, float, float]:
        band, share, steps = each.saving_per_step_ns, each.share_of_step, each.step_kind
        if band is None:
            return True, True, 1.0, 0.0
        of_all = steps.steps / steps.of if steps else 1.0
        little = share is not None and share * of_all < _WORTH_A_MINUTE
        return little, not band.low, -band.low * of_all, -band.mid * of_all

    return tuple(sorted(suggestions, key=sure))


def span(low_ns: float, high_ns: float) -> str:
    """`14 to 21 ms`, `800 µs to 1.0 ms`; `14 ms` where both ends are that."""
    low, high = duration(low_ns, 2), duration(high_ns, 2)
    if low == high:
        return low
    same = not low_ns or low.split()[1] == high.split()[1]
    return f"{low.split()[0] if same else low} to {high}"
