"""What requirements are held against: single values of a side, and how much of it no verdict covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec

from traceanalyzer.comparison import noise
from traceanalyzer.comparison.sides import Side
from traceanalyzer.records import Analysis, Comparison, Value

MEDIAN_STEP = "window.step_ns.median"  # whose changes have an interval
_BY_CLASS = "memory_bound.non_contraction_share_of_busy"  # of classes, which need no roofs


class SideValues(msgspec.Struct, frozen=True):
    """Each single value of the JSON, by its dotted path; of several runs numbers are their median."""

    values: Mapping[str, Value]
    open: Mapping[str, float] = msgspec.field(default_factory=dict)  # by how much more a value may be
    unjudged_share: float = 0.0  # of busy time
    runs: int = 1
    command: str = "report"  # whose JSON has them


def of_runs(runs: Sequence[Analysis]) -> SideValues:
    """Of a report, or of several runs of one program."""
    each = [_values(run) for run in runs]
    values = {name: _merged([values_of_run.get(name) for values_of_run in each]) for name in each[0]}
    steps = Side(tuple(runs)).durations
    if steps is not None and len(runs) > 1 and values.get(MEDIAN_STEP) is not None:
        values[MEDIAN_STEP] = noise.median(steps)
    unjudged = [_unmodelled(run) for run in runs]
    return SideValues(
        values, {name: max(each[name] for each in map(_open, runs)) for name in _open(runs[0])},
        max(unjudged), len(runs),
    )  # fmt: skip


def of_comparison(comparison: Comparison) -> SideValues:
    """Of the JSON of a comparison."""
    return SideValues(_values(comparison), command="diff")


def _values(record: Analysis | Comparison) -> dict[str, Value]:
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


def _merged(values: Sequence[Value]) -> Value:
    """The median of numbers; what is not known of one run is not known; texts that differ, all of them."""
    if None in values:
        return None
    numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) == len(values):
        return numbers[0] if len(set(numbers)) == 1 else median(numbers)
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else " and ".join(map(str, different))


def _open(run: Analysis) -> dict[str, float]:
    """Of what may be memory-bound: all time that could not be judged may be, too."""
    part = next(part for part in run.verdicts if part.verdict == "unmodelled")
    amounts = {"time_ns": float(part.time_ns), "share_of_window": part.share_of_window}
    names = (f"memory_bound.{field.encode_name}" for field in msgspec.structs.fields(run.memory_bound))
    return {
        name: amounts.get(name.rpartition(".")[2], part.share_of_busy) for name in names if name != _BY_CLASS
    }


def _unmodelled(run: Analysis) -> float:
    return next(part.share_of_busy for part in run.verdicts if part.verdict == "unmodelled")
