"""What the suggestions would save, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from traceanalyzer.records import Analysis, Suggestion
from traceanalyzer.records.units import duration
from traceanalyzer.records.vocabulary import IDLE_RULES, SHARING_ON_CPU
from traceanalyzer.report.shown import per_saving, shown
from traceanalyzer.report.waits import waits_for_the_host

_WORTH_A_MINUTE = 0.01  # of the step: what is likely to save less does not come before what saves more
_NUMERALS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def change_sentences(analysis: Analysis) -> list[str]:
    """What all suggestions would save; what is of one step is not added to a mean of several.

    Savings add up, but for those of which it is said that they are partly of the same time.
    """
    counted: dict[str, list[Suggestion]] = {}
    paced = waits_for_the_host(shown(analysis))
    timed = with_saving(analysis)
    for each in timed:
        if each.rule in IDLE_RULES or not paced:
            counted.setdefault(per_saving(analysis, each), []).append(each)
    said = [
        _saved(of, each, " more" if number else "", shared=shares_time(analysis, each))
        for number, (of, each) in enumerate(counted.items())
    ]
    if hidden := len(timed) - sum(map(len, counted.values())):
        more = " more" if said else ""
        said.append(f"{_changes_of(hidden, more)} would shorten busy time, for which the step does not wait.")
    return said


def shares_time(analysis: Analysis, changes: Sequence[Suggestion]) -> bool:
    """Whether one of several changes saves time of operators that others make faster."""
    return analysis.device.kind == "cpu" and len(changes) > 1 and any(
        each.rule in SHARING_ON_CPU for each in changes
    )  # fmt: skip


def _saved(of: str, changes: Sequence[Suggestion], more: str, *, shared: bool) -> str:
    """One sentence; savings that may be zero are stated apart. `shared`: as `shares_time` has it."""
    bands = [each.saving_per_step_ns for each in changes if each.saving_per_step_ns]
    sure, likely = [b for b in bands if b.low], [b for b in bands if not b.low]
    partly = ", partly of the same time" if shared else ""
    most = duration(sum(b.high for b in likely), 2)
    if not sure:
        return f"{_changes_of(len(likely), more)} could save up to {most} {of}{partly}, or nothing."
    low, high = sum(b.low for b in sure), sum(b.high for b in sure)
    rest = ""
    if likely:
        rest = f"; {_numeral(len(likely)).lower()} more could save up to {most}{partly}, or nothing"
    return f"{_changes_of(len(sure), more)} would save {span(low, high)} {of}{rest}."


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
    """`14 to 21 ms`, `800 µs to 1.0 ms`."""
    low, high = duration(low_ns, 2), duration(high_ns, 2)
    same = not low_ns or low.split()[1] == high.split()[1]
    return f"{low.split()[0] if same else low} to {high}"
