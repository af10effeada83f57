"""Suggestions of the step that is shown, and of a step of each further kind: prefill beside decode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from traceanalyzer.fusion.cost_to_try import PAYS_BACK, compiling
from traceanalyzer.fusion.suggestions import suggest
from traceanalyzer.records import Band, RuleCheck, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.records.units import duration
from traceanalyzer.records.vocabulary import IDLE_RULES

_NO_CALLS = (*IDLE_RULES, "exposed_communication", "kept_pages")
"""Rules whose saving does not lie in the calls that a step makes: another step of the same may wait."""


def suggest_each_kind(shown: Judged, all_steps: Judged, others: Sequence[Judged] = ()) -> Suggestions:
    """What would save time in the step that is shown, then what would only in steps of `others`' kinds.

    What helps both is one suggestion, of the step that is shown, which says what it saves in the others.
    """
    result = suggest(shown, all_steps)
    for other in others if result.found is not None else ():
        further = suggest(other, all_steps)
        if _calls(other) == _calls(shown):
            further = _of_the_same_calls(further, result)
        result = _with(result, further)
    return result


def _calls(judged: Judged) -> Counter[tuple[object, ...]]:
    """How often each is made in the steps that are judged."""
    calls: Counter[tuple[object, ...]] = Counter()
    for row in judged.rows:
        calls[row.name, row.input_dims, row.input_types, row.phase, row.module] += row.calls
    return calls


def _of_the_same_calls(other: Suggestions, shown: Suggestions) -> Suggestions:
    """Of a step that makes the calls of the one that is shown and only took longer, or less long.

    What shortens calls saves as much in it as in the shorter of the two. What is no matter of
    calls it may have alone.
    """
    kept = []
    for each, op, ns in zip(other.found or (), other.first_op, other.compiling_ns, strict=True):
        same = next((before for before in shown.found or () if _same(before, each)), None)
        if each.rule in _NO_CALLS:
            kept.append((each, op, ns))
        elif same is not None:
            less = min(each, same, key=_most)
            band, busy = less.saving_per_step_ns, less.busy_saving_ns
            kept.append((replace(each, saving_per_step_ns=band, busy_saving_ns=busy), op, ns))
    suggestions, first_op, compiling_ns = zip(*kept, strict=True) if kept else ((), (), ())
    checks = tuple(each for each in other.checks if each.rule in _NO_CALLS)
    return replace(other, found=suggestions, first_op=first_op, compiling_ns=compiling_ns, checks=checks)


def _with(shown: Suggestions, other: Suggestions) -> Suggestions:
    listed, first_op, compiling_ns = list(shown.found or ()), list(shown.first_op), list(shown.compiling_ns)
    saved_ns = [_of_all(each) for each in listed]
    for each, op, ns in zip(other.found or (), other.first_op, other.compiling_ns, strict=True):
        if each.saving_of != "step_of_kind":  # of all steps: it is there already
            continue
        same = next((at for at, before in enumerate(listed) if _same(before, each)), None)
        if same is None:
            at = _rank(listed, each)
            listed.insert(at, each)
            first_op.insert(at, op)
            compiling_ns.insert(at, ns)
            saved_ns.insert(at, _of_all(each))
        else:
            saved_ns[same] += _of_all(each)
            listed[same] = _also_of(listed[same], each, max(compiling_ns[same], ns), saved_ns[same])
    said = {(notice.code, notice.message) for notice in shown.notices}
    more = tuple(notice for notice in other.notices if (notice.code, notice.message) not in said)
    return replace(
        shown, found=tuple(listed), first_op=tuple(first_op), compiling_ns=tuple(compiling_ns),
        notices=(*shown.notices, *more), checks=_found_in_either(shown.checks, other.checks),
    )  # fmt: skip


def _same(shown: Suggestion, other: Suggestion) -> bool:
    """Whether one change does for both. What has no time apart from what has one is none."""
    timed = bool(shown.saving_per_step_ns) or not other.saving_per_step_ns
    return (shown.rule, shown.where) == (other.rule, other.where) and timed


def _also_of(shown: Suggestion, other: Suggestion, compiling_ns: float, saved_ns: float) -> Suggestion:
    """With what it saves in a step of the other's kind; `saved_ns`: of a step of any kind, by all of them."""
    band, steps = other.saving_per_step_ns, other.step_kind
    if band is None or steps is None:
        return shown
    saves = f"{duration(band.low)} to {duration(band.high)}" if band.low else f"at most {duration(band.high)}"
    text = f"per step of kind {steps.name}, {steps.steps} of {steps.of} steps, it saves {saves}"
    cost = shown.cost_to_try
    if PAYS_BACK in cost:  # on a CPU
        sure = any(each.saving_per_step_ns and each.saving_per_step_ns.low > 0 for each in (shown, other))
        cost = compiling(compiling_ns, saved_ns, of_all_kinds=True, sure=sure)
    return replace(shown, caveats=(*shown.caveats, text), cost_to_try=cost)


def _most(suggestion: Suggestion) -> float:
    """At most, in ns; no time is less than any."""
    return suggestion.saving_per_step_ns.high if suggestion.saving_per_step_ns else -1.0


def _rank(listed: Sequence[Suggestion], new: Suggestion) -> int:
    """In front of the first that saves less of all steps together."""
    return next((at for at, each in enumerate(listed) if _of_all(each) < _of_all(new)), len(listed))


def _of_all(suggestion: Suggestion) -> float:
    """By its middle, averaged over the steps of all kinds."""
    band, steps = suggestion.saving_per_step_ns or Band(0.0, 0.0, 0.0), suggestion.step_kind
    return band.mid * (steps.steps / steps.of if steps else 1.0)


def _found_in_either(shown: Sequence[RuleCheck], other: Sequence[RuleCheck]) -> tuple[RuleCheck, ...]:
    """Of each rule whether any of the steps has it; what the trace lacks it lacks for all."""
    there = {each.rule for each in other if each.outcome == "found"}
    return tuple(RuleCheck(each.rule, "found") if each.rule in there else each for each in shown)
