"""What makes a rank late: its own work and idle time beside the median of the other ranks'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec
import numpy as np

from traceanalyzer.ranks.usual import Floats, Key, Part, keys_of, medians
from traceanalyzer.records.rank_work import RankWork, WorkForm
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
    text: str = ""  # "it waits for data"
    key: Key = ()  # of an operator that takes longer: what is to be told of it


def cause_of(ranks: Sequence[RankWork], late: int) -> str:
    """Why device `late` comes last: one phrase; "" where nothing in its own work explains it."""
    mine, others = ranks[late], [each for at, each in enumerate(ranks) if at != late]
    operators, idle = _operators(mine, others), _idle(mine, others)
    slower = _slower(mine, others)
    computing = sum(cause.extra_ns for cause in operators)
    if slower is not None and slower.extra_ns >= _PART * computing:
        operators = [slower]
    causes = [cause for cause in (*operators, *idle) if cause.extra_ns >= _LEAST * mine.entry.window_ns]
    if not causes:
        return ""
    largest = max(causes, key=lambda cause: cause.extra_ns)
    text = _told(mine, others, largest.key) if largest.key else largest.text
    return f"{text}, {duration(largest.extra_ns / _units(mine))} more{_per(mine)} than the others"


def _units(work: RankWork) -> int:
    return work.step_count or 1


def _per(work: RankWork) -> str:
    return " per step" if work.step_count else ""


def _operators(mine: RankWork, others: Sequence[RankWork]) -> list[Cause]:
    """Operators that take longer than elsewhere, the longest first; shapes of one operator together."""
    keys = keys_of(mine, _operator)
    times = _times(mine, Part.of(mine.forms, keys, _operator))
    extra = times - medians(others, keys, _operator, _times)
    longest = np.argsort(-times, kind="stable").tolist()
    return [Cause(float(extra[at]), key=keys[at]) for at in longest if extra[at] > 0]


def _times(work: RankWork, part: Part) -> Floats:
    return part.sums(work.attributed_ns)


def _operator(form: WorkForm) -> Key:
    return form.name, form.phase


def _told(mine: RankWork, others: Sequence[RankWork], key: Key) -> str:
    """An operator that takes longer: by more calls, larger shapes, or longer calls."""
    name, phase = key
    operator = f"`{name}`{f' ({phase})' if phase else ''}"
    calls, shapes = _calls(mine, key)
    usual = [_calls(each, key) for each in others]
    more = calls / _units(mine) - _median(
        count / _units(each) for (count, _), each in zip(usual, others, strict=True)
    )
    if more >= 0.5:
        return f"{operator} runs {digits(more, 2).removesuffix('.0')} more times{_per(mine)}"
    elsewhere = set[str]().union(*(others_shapes for _, others_shapes in usual))
    return f"{operator} {'takes longer' if shapes <= elsewhere else 'has other shapes'}"


def _calls(work: RankWork, key: Key) -> tuple[int, set[str]]:
    """How often it runs an operator, and on which shapes."""
    part = Part.of(work.forms, [key], _operator)
    shapes = {form.shape for form in work.forms[part.forms] if form.is_compute} - {""}
    return int(part.sums(work.calls)[0]), shapes


def _slower(mine: RankWork, others: Sequence[RankWork]) -> Cause | None:
    """One factor by which nearly all kernels take longer, calls and shapes being the same."""
    keys = keys_of(mine, _form)
    part = Part.of(mine.forms, keys, _form)
    call_ns, usual = _call_ns(mine, part), medians(others, keys, _form, _call_ns)
    weights = part.sums(mine.attributed_ns)
    both = (usual > 0) & ~np.isnan(call_ns)
    ratios = list(zip((call_ns[both] / usual[both]).tolist(), weights[both].tolist(), strict=True))
    compute_ns = float(weights.sum())
    factor = _weighted_median(ratios)
    alike = sum(ns for ratio, ns in ratios if abs(ratio - factor) <= _ALIKE * factor)
    if factor < _SLOWER or alike < _ALL * compute_ns:
        return None
    text = (
        f"all its kernels take {digits(factor)} times as long (as with a lower clock: power, heat or a cap)"
    )
    return Cause(compute_ns * (1 - 1 / factor), text)


def _form(form: WorkForm) -> Key:
    return form.name, form.phase, form.shape


def _call_ns(work: RankWork, part: Part) -> Floats:
    """Mean time of a call; nan where there is none."""
    calls = part.sums(work.calls)
    mean: Floats = np.divide(part.sums(work.time_ns), calls, out=np.full(len(calls), np.nan), where=calls > 0)
    return mean


def _idle(mine: RankWork, others: Sequence[RankWork]) -> list[Cause]:
    causes = []
    for part in mine.idle:
        usual = _median(
            sum(each.time_ns for each in other.idle if each.cause == part.cause) for other in others
        )
        if part.time_ns > usual:
            named = f" ({part.main_name})" if part.main_name else ""
            causes.append(Cause(part.time_ns - usual, f"{_CAUSES[part.cause]}{named}"))
    return causes


def _median(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(median(numbers)) if numbers else 0.0


def _weighted_median(pairs: Sequence[tuple[float, float]]) -> float:
    total, reached = sum(weight for _, weight in pairs), 0.0
    for value, weight in sorted(pairs):
        reached += weight
        if 2 * reached >= total and total:
            return value
    return 0.0
