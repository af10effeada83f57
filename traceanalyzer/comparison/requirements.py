"""Requirements such as `memory_bound.share_of_busy<=0.45` and `window.step_ns.median<=+5%`.

A name is the path to a single value of the report's JSON. `+5%` and `-5%` are of the baseline's value. What
is relative and about the step's time is told from noise by the interval of the change.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any

import msgspec
from msgspec import structs

from traceanalyzer.comparison import noise
from traceanalyzer.comparison.sides import Side
from traceanalyzer.records import Analysis, Comparison, Requirement, Value
from traceanalyzer.records.errors import UsageError

_EXPRESSION = re.compile(r"\s*([\w.]+)\s*(<=|>=|==|<|>)\s*(.+?)\s*")
_RELATIVE = re.compile(r"([+-]\d+(?:\.\d+)?)\s*%")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_STEPS = "window.step_ns."
_TIMED = "window.step_ns.median"  # whose changes have an interval
_TOTALS = ("_ns", ".flops")
_EXAMPLE = "write NAME<=LIMIT, such as memory_bound.share_of_busy<=0.45 or window.step_ns.median<=+5%"

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Expression:
    """`name OP limit`, read."""

    text: str
    name: str
    operator: str
    limit: float | str | bool  # of a relative one the share: 0.05 of `+5%`
    relative: bool


def parsed(text: str) -> Expression:
    """UsageError where it is none."""
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise UsageError(f"{text}: is no requirement", fix=_EXAMPLE)
    name, sign, limit = match.groups()
    share = _RELATIVE.fullmatch(limit)
    if share is not None:
        return Expression(text.strip(), name, sign, float(share[1]) / 100, relative=True)
    value = _limit(limit)
    if isinstance(value, str | bool) and sign != "==":
        raise UsageError(f"{text}: {limit} is no number, and a text has only ==", fix=_EXAMPLE)
    return Expression(text.strip(), name, sign, value, relative=False)


def _limit(text: str) -> float | str | bool:
    """A number, true or false, else a text; `nan` and `inf` are no limits of a number."""
    if text in ("true", "false"):
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        return text.strip("'\"")
    return number if isfinite(number) else text


def values_of(record: Analysis | Comparison) -> Values:
    """Each single value of its JSON, by its dotted path."""
    shown = [field for field in msgspec.structs.fields(record) if field.name != "kernel_table"]
    return {
        path: value
        for field in shown
        for path, value in _leaves(msgspec.to_builtins(getattr(record, field.name)), field.encode_name)
    }


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}")
    elif not isinstance(value, list | tuple):
        yield path, value


def evaluated(
    expressions: Sequence[Expression],
    values: Values,
    baseline: Values | None,
    interval: noise.Interval | None,
) -> tuple[Requirement, ...]:
    """`interval`: of the change of the step from the baseline, in ns. UsageError for unknown names."""
    return tuple(_evaluated(each, values, baseline, interval) for each in expressions)


def step_interval(analysis: Analysis, baseline: Analysis | None) -> noise.Interval | None:
    """Of the change of its step; None where there are no steps, or too few."""
    before = Side((baseline,)).durations if baseline is not None else None
    after = Side((analysis,)).durations
    return noise.change_interval(before, after) if before and after else None


def _evaluated(
    wanted: Expression, values: Values, baseline: Values | None, interval: noise.Interval | None
) -> Requirement:
    value = _value(wanted, values)
    if not wanted.relative:
        noise_of_step = values.get("step_ns.reason") if wanted.name.startswith("step_ns.") else None
        return _told(wanted, value, None, wanted.limit, str(noise_of_step) if noise_of_step else None)
    if baseline is None:
        raise UsageError(f"{wanted.text}: is relative, and there is no baseline", fix="give --baseline FILE")
    before = _value(wanted, baseline)
    if isinstance(before, str | bool) or isinstance(value, str | bool):
        raise UsageError(f"{wanted.text}: {wanted.name} is no number", fix="give a text with ==")
    limit = None if before is None else before * (1 + float(wanted.limit))
    if value is None or before is None or limit is None or not wanted.name.startswith(_STEPS):
        return _told(wanted, value, before, limit, _other_steps(wanted.name, values, baseline))
    if interval is not None and wanted.name != _TIMED:  # the interval is of the median's change, of no other
        return structs.replace(_told(wanted, value, before, limit), reason="without regard to noise")
    return _against_noise(wanted, value, before, limit, interval)


def _value(wanted: Expression, values: Values) -> Value:
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
    near = get_close_matches(wanted.name, values, 3, 0.5) or sorted(values)[:3]
    raise UsageError(f"{wanted.name}: there is no such value", fix=f"take {', '.join(near)}")


def _other_steps(name: str, values: Values, baseline: Values) -> str | None:
    """Totals are over the window: of more steps they are more."""
    counts = [each.get("window.step_count") for each in (values, baseline)]
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


def _json_type(value: Value) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _against_noise(
    wanted: Expression, value: float, before: float, limit: float, interval: noise.Interval | None
) -> Requirement:
    if interval is None:
        reason = f"the times of fewer than {noise.LEAST_STEPS} steps are known on a side"
        return _requirement(wanted, value, before, limit, "inconclusive", reason)
    low, high = before + interval.low, before + interval.high
    holds = [_OPERATORS[wanted.operator](each, limit) for each in (low, high)]
    if holds[0] != holds[1]:
        reason = "the limit lies inside the interval of the change"
        return _requirement(wanted, value, before, limit, "inconclusive", reason, low, high)
    outcome = "holds" if holds[0] else "broken"
    return _requirement(wanted, value, before, limit, outcome, "by one run a side", low, high)


def _requirement(
    wanted: Expression, value: Value, baseline: Value, limit: Value, outcome: Any, reason: str | None,
    low: float | None = None, high: float | None = None,
) -> Requirement:  # fmt: skip
    return Requirement(
        expression=wanted.text, name=wanted.name, value=value, baseline=baseline, wanted=limit, low=low,
        high=high, outcome=outcome, reason=reason,
    )  # fmt: skip
