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

_LESS = 0.02  # of what changes add up to, by which they have to save less together for that to be explained
_OF_HEADROOM = ("each_step", "shown_step", "trace")
_PACED = "the GPU then waits for the host"
_ROOFS = "the roofs allow no more"
_WORTH_A_MINUTE = 0.01  # of the step: what is likely to save less does not come before what saves more
_NUMERALS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


class Together(msgspec.Struct, frozen=True):
    """What changes of one step save of it, in ns: `least` to `sure` is proved, `most` is by all of them.

    `why` says what leaves less than they add up to; "" where nothing can.
    """

    least: float
    sure: float
    most: float
    why: str = ""


def change_sentences(analysis: Analysis) -> list[str]:
    """What all suggestions would save together; what is of one step is not added to a mean of several."""
    groups: dict[str, list[Suggestion]] = {}
    for each in with_saving(analysis):
        groups.setdefault(per_saving(analysis, each), []).append(each)
    said: list[str] = []
    for of, changes in groups.items():
        said += _sentences(analysis, of, changes, following=bool(said))
    return said


def _sentences(
    analysis: Analysis, of: str, changes: Sequence[Suggestion], *, following: bool
) -> Iterator[str]:
    """Of the changes of one step; those of busy time apart, where that does not shorten it at all."""
    more, together = " more" if following else "", saved_together(analysis, changes)
    busy = [each for each in changes if each.rule not in IDLE_RULES]
    idle = [each for each in changes if each.rule in IDLE_RULES]
    lost = added(changes).most - together.most
    shared = shares_time(analysis, changes)
    if not busy or together.why != _PACED or lost < (1 - _LESS) * added(busy).most:
        yield _saved(of, changes, together, more, shared=shared)
        return
    if idle:
        yield _saved(of, idle, added(idle), more, shared=False)
    which = _changes_of(len(busy), " more" if idle else more)
    yield f"{which} would shorten busy time, for which the step does not wait: the host sets its pace."


def added(changes: Sequence[Suggestion]) -> Together:
    """What they save one by one, added up."""
    bands = [each.saving_per_step_ns for each in changes if each.saving_per_step_ns]
    sure = [band for band in bands if band.low]
    return Together(
        sum(band.low for band in sure), sum(band.high for band in sure), sum(band.high for band in bands)
    )


def saved_together(analysis: Analysis, changes: Sequence[Suggestion]) -> Together:
    """What changes of one step save of it: as the headroom has it, where that is of the same step.

    No headroom is known of steps of another kind: there nothing of busy time is sure where the host sets the
    pace.
    """
    room, of = analysis.headroom, changes[0].saving_of
    if of == "step_of_kind" and _is_paced(analysis, changes[0]):
        sure = added([each for each in changes if each.rule in IDLE_RULES])
        return Together(sure.least, sure.sure, added(changes).most, _PACED)
    if room is None or of not in _OF_HEADROOM:
        return added(changes)
    figures, at_roofs = shown(analysis), room.all_ns.low <= room.at_roofs_ns + 1
    paced = paced_ns(analysis.device.kind, figures.idle_by_cause, figures.window_ns)
    proved, why = room.proved_ns, _PACED if paced and not at_roofs else _ROOFS
    return Together(room.now_ns - proved.high, room.now_ns - proved.low, room.now_ns - room.all_ns.low, why)


def cut_at_roofs(analysis: Analysis) -> bool:
    """Whether changes that the headroom counts would save more than the roofs allow."""
    counted = [each for each in with_saving(analysis) if each.saving_of in _OF_HEADROOM]
    together = saved_together(analysis, counted) if counted else Together(0.0, 0.0, 0.0)
    return together.why == _ROOFS and is_less(together.most, added(counted).most)


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
        why = f", not the {duration(alone.most, 2)} that {its}: {together.why}" if (
            is_less(together.most, alone.most)) else ""  # fmt: skip
        what = f"up to {duration(together.most, 2)} {of}{partly}"
        return f"{_changes_of(len(changes), more)} could save {what}, or nothing{why}."
    count = _changes_of(len(changes) - len(likely), more)
    text = f"{count} would save {span(together.least, together.sure)} {of}"
    others, most = f"{_numeral(len(likely)).lower()} more", duration(together.most, 2)
    if is_less(together.least, alone.least) or is_less(together.sure, alone.sure):
        text += f", not the {span(alone.least, alone.sure)} that {its}: {together.why}"
        return f"{text}; with {others}, up to {most}." if likely else f"{text}."
    if likely:
        text += f"; {others} could save up to {duration(added(likely).most, 2)}{partly}, or nothing"
        if is_less(together.most, alone.most):
            text += f", and all together no more than {most}: {together.why}"
    return f"{text}."


def _changes_of(count: int, more: str) -> str:
    """`One change`, `Two more changes`."""
    return f"{_numeral(count)}{more} change{'' if count == 1 else 's'}"


def _numeral(count: int) -> str:
    return _NUMERALS[count] if count < len(_NUMERALS) else f"{count:,}"


def with_saving(analysis: Analysis) -> list[Suggestion]:
    """Suggestions with a predicted time, the surest first."""
    timed = [s for s in analysis.suggestions or () if s.saving_per_step_ns and s.saving_per_step_ns.high > 0]
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
