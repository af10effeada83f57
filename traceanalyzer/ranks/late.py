"""What makes a rank late: its own rows and idle time beside the median of the other ranks'."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from traceanalyzer.records import Analysis, OpRow
from traceanalyzer.records.units import digits, duration

_LEAST = 0.01  # of the window, that an explanation is worth
_SLOWER = 1.03  # longer kernels, from here on
_ALIKE = 0.05  # of the factor, within which kernels count as slowed down by it
_ALL = 0.8  # of compute time, that one factor has to explain
_PART = 0.5  # of the lateness, from which one cause explains most of it
_CAUSES = {
    "launch_gap": "its GPU waits for launches", "synchronisation": "its host waits for its own GPU",
    "host_to_device_copy": "its GPU waits for copies from the host", "data_loading": "it waits for data",
    "memory_allocation": "it allocates memory", "compilation": "it compiles", "first_use": "it loads modules",
    "profiler": "the profiler itself works", "host_work": "its GPU waits for work on the host",
    "unknown": "its GPU is idle",
}  # fmt: skip


class Cause(msgspec.Struct, frozen=True):
    """One thing that a rank spends more on than the others; ns over its window."""

    extra_ns: float
    text: str  # "aten::mm (backward): 8 more calls"


def cause_of(analyses: Sequence[Analysis], late: int) -> str:
    """Why device `late` comes last: one phrase; "" where nothing in its own work explains it."""
    mine, others = analyses[late], [each for at, each in enumerate(analyses) if at != late]
    causes = [*_rows(mine, others), *_idle(mine, others)]
    slower = _slower(mine, others)
    computing = sum(cause.extra_ns for cause in causes if cause.text.startswith("`"))
    if slower is not None and (not causes or slower.extra_ns >= _PART * max(computing, 1)):
        causes = [slower, *(cause for cause in causes if not cause.text.startswith("`"))]
    causes = [cause for cause in causes if cause.extra_ns >= _LEAST * mine.window.window_ns]
    if not causes:
        return ""
    largest = max(causes, key=lambda cause: cause.extra_ns)
    return f"{largest.text}, {duration(largest.extra_ns / _units(mine))} more{_per(mine)} than the others"


def _units(analysis: Analysis) -> int:
    return analysis.window.step_count or 1


def _per(analysis: Analysis) -> str:
    return " per step" if analysis.window.step_count else ""


def _is_compute(row: OpRow) -> bool:
    return row.operator_class != "communication" and not row.name.startswith("(sum of ")


def _rows(mine: Analysis, others: Sequence[Analysis]) -> list[Cause]:
    """Operators that take longer than elsewhere; shapes of one operator together."""
    times = [_times(each) for each in (mine, *others)]
    causes = []
    for key, ns in times[0].items():
        extra = ns - _median(each.get(key, 0.0) for each in times[1:])
        if extra > 0:
            causes.append(
                Cause(extra, f"`{key[0]}`{f' ({key[1]})' if key[1] else ''} {_how(mine, others, key)}")
            )
    return causes


def _times(analysis: Analysis) -> dict[tuple[str, str], float]:
    times: dict[tuple[str, str], float] = defaultdict(float)
    for row in analysis.op_rows:
        if _is_compute(row):
            times[row.name, row.phase or ""] += row.attributed_ns
    return times


def _how(mine: Analysis, others: Sequence[Analysis], key: tuple[str, str]) -> str:
    """More calls, larger shapes, or longer calls."""
    calls, shapes = _calls(mine, key)
    usual = [_calls(each, key) for each in others]
    more = calls / _units(mine) - _median(
        count / _units(each) for (count, _), each in zip(usual, others, strict=True)
    )
    if more >= 0.5:
        return f"runs {digits(more, 2).removesuffix('.0')} more times{_per(mine)}"
    elsewhere = Counter(shape for _, others_shapes in usual for shape in others_shapes)
    if any(shape not in elsewhere for shape in shapes):
        return "has other shapes"
    return "takes longer"


def _calls(analysis: Analysis, key: tuple[str, str]) -> tuple[int, set[str]]:
    rows = [row for row in analysis.op_rows if _is_compute(row) and (row.name, row.phase or "") == key]
    return sum(row.calls for row in rows), {str(row.input_dims) for row in rows if row.input_dims}


def _slower(mine: Analysis, others: Sequence[Analysis]) -> Cause | None:
    """One factor by which nearly all kernels take longer, calls and shapes being the same."""
    usual: dict[object, list[float]] = defaultdict(list)
    for each in others:
        for key, ns in _per_call(each).items():
            usual[key].append(ns)
    calls_ns = _per_call(mine)
    ratios = [
        (calls_ns[_key(row)] / median(usual[_key(row)]), row.attributed_ns)
        for row in mine.op_rows
        if _is_compute(row) and row.calls and median(usual.get(_key(row), [0.0])) > 0
    ]
    compute_ns = sum(row.attributed_ns for row in mine.op_rows if _is_compute(row))
    factor = _weighted_median(ratios)
    alike = sum(ns for ratio, ns in ratios if abs(ratio - factor) <= _ALIKE * factor)
    if factor < _SLOWER or alike < _ALL * compute_ns:
        return None
    text = (
        f"all its kernels take {digits(factor)} times as long (as with a lower clock: power, heat or a cap)"
    )
    return Cause(compute_ns * (1 - 1 / factor), text)


def _key(row: OpRow) -> tuple[str, str, str]:
    return row.name, row.phase or "", str(row.input_dims)


def _per_call(analysis: Analysis) -> dict[tuple[str, str, str], float]:
    ns: Counter[tuple[str, str, str]] = Counter()
    calls: Counter[tuple[str, str, str]] = Counter()
    for row in analysis.op_rows:
        if _is_compute(row):
            ns[_key(row)] += row.time_ns
            calls[_key(row)] += row.calls
    return {key: ns[key] / calls[key] for key in ns if calls[key]}


def _idle(mine: Analysis, others: Sequence[Analysis]) -> list[Cause]:
    causes = []
    for part in mine.time.idle_by_cause:
        usual = _median(
            sum(each.time_ns for each in other.time.idle_by_cause if each.cause == part.cause)
            for other in others
        )
        if part.time_ns > usual:
            named = f" ({part.main_name})" if part.main_name else ""
            causes.append(Cause(part.time_ns - usual, f"{_CAUSES[part.cause]}{named}"))
    return causes


def _median(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(median(numbers)) if numbers else 0.0


def _weighted_median(pairs: Sequence[tuple[float, int]]) -> float:
    total, reached = sum(weight for _, weight in pairs), 0
    for value, weight in sorted(pairs):
        reached += weight
        if 2 * reached >= total and total:
            return value
    return 0.0
