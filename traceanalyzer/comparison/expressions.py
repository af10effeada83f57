"""Requirements as they are written: `memory_bound.share_of_busy<=0.45`, `window.step_ns.median<=+5%`.

A name is the path to a single value of the report's JSON. `+5%` and `-5%` are of the baseline's value; a
limit without a sign may have the unit of what it is a limit of: 45% of a share, 500ms of a time, 40GB.
"""

from __future__ import annotations

import re
from math import isfinite

import msgspec

from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.units import unit_of

_EXPRESSION = re.compile(r"\s*([\w.]+)\s*(<=|>=|==|<|>)\s*(.+?)\s*")
_RELATIVE = re.compile(r"([+-]\d+(?:\.\d+)?)\s*%")
_WITH_UNIT = re.compile(r"(-?\d+(?:\.\d+)?)\s*(%|[kMGT]?B|ns|us|µs|ms|s)")
_UNITS = {
    "share": {"%": 0.01},
    "ns": {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9},
    "bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
}
_LEAST_BARE = {"ns": 1000, "bytes": 1000}  # below it a number without a unit is rarely meant in that
_MOST_BARE = {"share": 1}  # above it
_BETTER = {"ns": "ms", "bytes": "MB", "share": "%"}
_EXAMPLE = "write NAME<=LIMIT, such as memory_bound.share_of_busy<=0.45 or window.step_ns.median<=+5%"


class Expression(msgspec.Struct, frozen=True):
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
    value = _limit(name, limit)
    if isinstance(value, str | bool) and sign != "==":
        raise UsageError(f"{text}: {limit} is no number{_unit_hint(name)}, and a text has only ==",
                         fix=_EXAMPLE)  # fmt: skip
    return Expression(text.strip(), name, sign, value, relative=False)


def _limit(name: str, text: str) -> float | str | bool:
    """A number, true or false, else a text; `nan` and `inf` are no limits of a number."""
    if text in ("true", "false"):
        return text == "true"
    with_unit = _WITH_UNIT.fullmatch(text)
    factor = _UNITS.get(unit_of(name) or "", {}).get(with_unit[2]) if with_unit else None
    if with_unit is not None and factor is not None:
        number = float(with_unit[1])
        return number / 100 if with_unit[2] == "%" else number * factor
    try:
        number = float(text)
    except ValueError:
        return text.strip("'\"")
    return number if isfinite(number) else text


def read_as(wanted: Expression) -> str | None:
    """How a number without a unit is read, where another unit may be meant: `300` of a time in ns."""
    unit = unit_of(wanted.name) or ""
    if wanted.relative or isinstance(wanted.limit, str | bool) or unit not in _BETTER:
        return None
    written, size = wanted.text.rpartition(wanted.operator)[2].strip(), abs(wanted.limit)
    odd = 0 < size < _LEAST_BARE.get(unit, 0) or size > _MOST_BARE.get(unit, size)
    if not odd or _WITH_UNIT.fullmatch(written):
        return None
    read = f"{wanted.limit:.10g} {unit}" if unit != "share" else f"{100 * wanted.limit:.10g} %"
    return f"{written} is read as {read}: write {written}{_BETTER[unit]} if that is meant"


def _unit_hint(name: str) -> str:
    units = _UNITS.get(unit_of(name) or "")
    return f" ({name} takes one, or one in {', '.join(units)})" if units else ""
