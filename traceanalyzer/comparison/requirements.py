"""Which requirements hold, which are broken, and what noise or a lack of verdicts leaves open.

What is relative and about the step's time is told from noise by the interval of the change. What may be
memory-bound for all that is known is counted either way before anything is said of its share.
"""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from traceanalyzer.comparison import noise, side_values
from traceanalyzer.comparison.conditions import recorded_apart
from traceanalyzer.comparison.drift import drift_of
from traceanalyzer.comparison.expressions import Expression, read_as
from traceanalyzer.comparison.matching import op_changes
from traceanalyzer.comparison.one_program import other_program
from traceanalyzer.comparison.same_work import same_work
from traceanalyzer.comparison.side_values import SideValues
from traceanalyzer.comparison.sides import Side
from traceanalyzer.records import Analysis, Comparison, Requirement, Value
from traceanalyzer.records.comparison import Change
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import did_you_mean, likeness, spelled_alike
from traceanalyzer.records.units import duration, percent
from traceanalyzer.records.vocabulary import LEAST_MODELLED

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_WORDS = re.compile("[a-z0-9]+")
_STEPS = "window.step_ns."
_UNPROFILED = "recording.unprofiled_step_ns"
_TOTALS = ("_ns", ".flops")
_OF_THE_STEP = ("step_ns.change", "step_ns.change_share", "step_ns.head")  # of a comparison
_COVERAGE = "coverage.modelled_share"
_USUAL = (  # of a report, then of a comparison
    "memory_bound.share_of_busy", "window.step_ns.median", "time.idle_ns", "compute.mfu_share",
    _COVERAGE, "step_ns.change_share", "busy_ns.change", "idle_ns.change",
)  # fmt: skip


def checked(
    expressions: Sequence[Expression], runs: Sequence[Analysis], baseline: Sequence[Analysis]
) -> tuple[Requirement, ...]:
    """Of a report, or of several runs of one program. UsageError for unknown names."""
    head, base = side_values.of_runs(runs), side_values.of_runs(baseline) if baseline else None
    interval = step_interval(runs, baseline)
    results = (_checked(each, head, base, interval) for each in expressions)
    before = None if base is None else base.values.get(_UNPROFILED)
    timed = [_under_the_profiler(each, head.values.get(_UNPROFILED), before) for each in results]
    apart = _recorded_apart(runs, baseline) if any(each.baseline is not None for each in timed) else None
    for_all = [notice.message for side in (runs, baseline) if (notice := other_program(side))]
    reasoned = (_reasoned(each, *for_all, apart if each.baseline is not None else None) for each in timed)
    return tuple(map(_with_unit, expressions, reasoned))


def _with_unit(wanted: Expression, result: Requirement) -> Requirement:
    """With how the limit is read, where it has no unit and another may be meant."""
    if result.value is None:
        return result
    return structs.replace(result, reason="; ".join(filter(None, (read_as(wanted), result.reason))) or None)


def _recorded_apart(runs: Sequence[Analysis], baseline: Sequence[Analysis]) -> str | None:
    """That a change from the baseline is none of the program."""
    base, head = Side(tuple(baseline)), Side(tuple(runs))
    window = Change.of(base.window_ns, head.window_ns)
    apart = recorded_apart(base, head, same_work(base, head), drift_of(op_changes(base, head), window))
    return apart and f"the recordings do not compare: {apart}"


def _reasoned(result: Requirement, *reasons: str | None) -> Requirement:
    """With what else is to be known of it, behind its own reason."""
    return structs.replace(result, reason="; ".join(filter(None, (result.reason, *reasons))) or None)


def _under_the_profiler(result: Requirement, without: Value, before: Value) -> Requirement:
    """Of a step's time, that it is the recorded one, beside that without the profiler where it is known."""
    if not result.name.startswith(_STEPS) or result.value is None or not isinstance(without, int | float):
        return result
    said = f"under the profiler; {_UNPROFILED} is {duration(without)}"
    if result.baseline is not None and isinstance(before, int | float):
        said += f", in the baseline {duration(before)}"
    return _reasoned(result, said)


def step_interval(runs: Sequence[Analysis], baseline: Sequence[Analysis]) -> noise.Interval | None:
    """Of the change of the step, in ns; None where there are no steps, or too few."""
    before = Side(tuple(baseline)).durations if baseline else None
    after = Side(tuple(runs)).durations
    return noise.change_interval(before, after) if before and after else None


def compared(expressions: Sequence[Expression], comparison: Comparison) -> tuple[Requirement, ...]:
    """Of a comparison, whose own interval tells a change of the step from noise."""
    values = side_values.of_comparison(comparison)
    results = (_compared(each, values, comparison) for each in expressions)
    apart = comparison.recorded_apart and f"the recordings do not compare: {comparison.recorded_apart}"
    recorded = (_of_recorded_steps(each, comparison.unprofiled_step_ns) for each in results)
    return tuple(map(_with_unit, expressions, (_reasoned(each, apart) for each in recorded)))


def _of_recorded_steps(result: Requirement, without: Change | None) -> Requirement:
    """Likewise of a comparison's step, beside how it changed without the profiler."""
    if result.name not in _OF_THE_STEP or result.value is None or without is None:
        return result
    said = f"under the profiler; without it {duration(without.base)}, now {duration(without.head)}"
    return _reasoned(result, said)


def _compared(wanted: Expression, values: SideValues, comparison: Comparison) -> Requirement:
    refuse_relative(wanted)
    value, step = _value(wanted, values), comparison.step_ns
    if wanted.name not in _OF_THE_STEP or value is None or not _is_number(value, wanted.limit):
        return _told(wanted, value, None, wanted.limit)
    if step.low is None or step.high is None:
        return _requirement(wanted, value, None, wanted.limit, "inconclusive", step.reason)
    before = step.base or 0
    low, high = (
        {"change": ns, "head": before + ns, "change_share": ns / before}[wanted.name.rpartition(".")[2]]
        for ns in (step.low, step.high)
    )
    single = min(comparison.base.runs, comparison.head.runs) == 1
    return _against_noise(wanted, value, None, wanted.limit, noise.Interval(low, high), single)


def refuse_relative(wanted: Expression) -> None:
    """UsageError: what a comparison holds is of two sides as it is."""
    if wanted.relative:
        fix = f"write step_ns.change_share{wanted.operator}{float(wanted.limit):g}"
        raise UsageError(f"{wanted.text}: is relative, which a comparison is already", fix=fix)


def _checked(
    wanted: Expression, head: SideValues, base: SideValues | None, interval: noise.Interval | None
) -> Requirement:
    value = _value(wanted, head)
    if not wanted.relative:
        return _with_open(wanted, head, _told(wanted, value, None, wanted.limit))
    if base is None:
        raise UsageError(f"{wanted.text}: is relative, and there is no baseline", fix="give --baseline FILE")
    before = _value(wanted, base)
    if isinstance(before, str | bool) or isinstance(value, str | bool):
        raise UsageError(f"{wanted.text}: {wanted.name} is no number", fix="give a text with ==")
    limit = None if before is None else before * (1 + float(wanted.limit))
    if value is None or before is None or limit is None or not wanted.name.startswith(_STEPS):
        result = _told(wanted, value, before, limit, _other_steps(wanted.name, head, base))
        return _with_open_sides(wanted, head, base, result)
    if interval is not None and wanted.name != side_values.MEDIAN_STEP:  # of the median's change, of no other
        return structs.replace(_told(wanted, value, before, limit), reason="without regard to noise")
    if interval is None:
        few = f"the times of fewer than {noise.LEAST_STEPS} steps are known on a side"
        reason = f"{few}; record more on both sides"
        return _requirement(wanted, value, before, limit, "inconclusive", reason)
    of_value = noise.Interval(before + interval.low, before + interval.high)
    return _against_noise(wanted, value, before, limit, of_value, min(head.runs, base.runs) == 1)


def _with_open(wanted: Expression, head: SideValues, result: Requirement) -> Requirement:
    """What no verdict covers may all be memory-bound: a limit that this could break or mend is left open."""
    more, value = head.open.get(wanted.name, 0.0), result.value
    if not more or value is None or not _is_number(value, wanted.limit):
        return result
    if _same_whatever(wanted.operator, float(value), float(value) + more, float(wanted.limit)):
        return result
    return structs.replace(result, outcome="inconclusive", reason=_not_judged(head.unjudged_share))


def _with_open_sides(
    wanted: Expression, head: SideValues, base: SideValues, result: Requirement
) -> Requirement:
    """What is not judged on either side is taken for the same; what is not on one side only is open.

    Where next to nothing is judged, nothing is said.
    """
    if wanted.name not in head.open or result.value is None or result.wanted is None:
        return result
    unjudged = max(head.unjudged_share, base.unjudged_share)
    more = head.open[wanted.name] - base.open[wanted.name]
    value, limit = float(result.value), float(result.wanted)
    least, most = (value, value + more) if more > 0 else (value + more, value)  # or so much less of a limit
    judged = min(float(side.values.get(_COVERAGE) or 0) for side in (head, base)) >= LEAST_MODELLED
    if not unjudged or (judged and _same_whatever(wanted.operator, least, most, limit)):
        return result
    return structs.replace(result, outcome="inconclusive", reason=_not_judged(unjudged))


def _same_whatever(sign: str, low: float, high: float, limit: float) -> bool:
    """Whether every value from `low` to `high` does the same to the limit."""
    if sign == "==":
        return low == high or not low <= limit <= high
    return _OPERATORS[sign](low, limit) == _OPERATORS[sign](high, limit)


def _not_judged(share: float) -> str:
    return f"{percent(share)} of busy time could not be judged, and may be memory-bound too"


def _value(wanted: Expression, side: SideValues) -> Value:
    values = side.values
    if wanted.name in values:
        return values[wanted.name]
    if any(name.startswith(f"{wanted.name}.") for name in values):
        inside = [name for name in values if name.startswith(f"{wanted.name}.")][:3]
        raise UsageError(f"{wanted.name}: is no single value", fix=f"take {', '.join(inside)}")
    above = wanted.name
    while "." in above:  # of an object that is null every value is null
        above = above.rpartition(".")[0]
        if above in values and values[above] is None:
            return None
    near, usual = _nearest(wanted.name, list(values)), [name for name in _USUAL if name in values]
    few = "" if near else f"{', '.join(usual)}, or another of "
    every = f"the {len(values)} single values in the JSON of `{side.command} -o FILE.json`"
    fix = did_you_mean(near, f"take {few or 'one of '}{every}")
    raise UsageError(f"{wanted.name}: there is no such value", fix=fix)


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Names that share words with `name`, rare ones before frequent ones; else those spelled alike."""
    words = {each: set(_WORDS.findall(each.lower())) for each in (name, *names)}
    frequency = Counter(word for each in names for word in words[each])

    def closeness(each: str) -> tuple[float, float]:
        return sum(1 / frequency[word] for word in words[name] & words[each]), likeness(name, each)

    near = sorted((each for each in names if closeness(each)[0]), key=closeness, reverse=True)[:3]
    return near or spelled_alike(name, names)


def _other_steps(name: str, head: SideValues, base: SideValues) -> str | None:
    """Totals are over the window: of more steps they are more."""
    counts = [each.values.get("window.step_count") for each in (head, base)]
    if counts[0] == counts[1] or not name.endswith(_TOTALS):
        return None
    now, before = ("a trace without steps" if count is None else f"{count} steps" for count in counts)
    return f"a total of {now}, in the baseline of {before}"


def _told(
    wanted: Expression, value: Value, baseline: Value, limit: Value, rests_on: str | None = None
) -> Requirement:
    if value is None or limit is None:
        missing = "the value" if value is None else "the baseline's value"
        return _requirement(wanted, value, baseline, limit, "inconclusive", f"{missing} is not known")
    if _json_type(value) != _json_type(limit):
        said = str(value).lower() if isinstance(value, bool) else repr(value)
        fix = "compare a text with a text, and true or false with one of them"
        raise UsageError(f"{wanted.text}: {wanted.name} is {said}", fix=fix)
    holds = _OPERATORS[wanted.operator](value, limit)
    return _requirement(wanted, value, baseline, limit, "holds" if holds else "broken", rests_on)


def _is_number(*values: Value) -> bool:
    return all(_json_type(value) is float for value in values)


def _json_type(value: Value) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _against_noise(
    wanted: Expression, value: Value, before: Value, limit: Value, interval: noise.Interval, single: bool
) -> Requirement:
    """`interval`: of the value."""
    rests_on, low, high = "by one run a side" if single else None, interval.low, interval.high
    if not _same_whatever(wanted.operator, low, high, float(limit or 0)):
        inside = (
            f"the limit lies inside that interval, which more {'steps' if single else 'runs'} make narrower"
        )
        reason = "; ".join(filter(None, (inside, rests_on)))
        return _requirement(wanted, value, before, limit, "inconclusive", reason, low, high)
    outcome = "holds" if _OPERATORS[wanted.operator](low, limit) else "broken"
    return _requirement(wanted, value, before, limit, outcome, rests_on, low, high)


def _requirement(
    wanted: Expression, value: Value, baseline: Value, limit: Value, outcome: Any, reason: str | None,
    low: float | None = None, high: float | None = None,
) -> Requirement:  # fmt: skip
    return Requirement(
        expression=wanted.text, name=wanted.name, value=value, baseline=baseline, wanted=limit, low=low,
        high=high, outcome=outcome, reason=reason,
    )  # fmt: skip
