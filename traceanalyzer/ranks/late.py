"""What makes a rank late: its own work and idle time beside the median of the other ranks'."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import median

import msgspec
import numpy as np
import numpy.typing as npt

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


Key = tuple[str, ...]  # name and phase, or name, phase and shape
Sums = dict[Key, float]


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
    times = _times(mine)
    usual = _medians(others, _times, times, missing=0.0)
    extra = {key: ns - usual[key] for key, ns in sorted(times.items(), key=lambda item: -item[1])}
    return [Cause(ns, key=key) for key, ns in extra.items() if ns > 0]


def _times(work: RankWork) -> Sums:
    return _sums(work, work.attributed_ns, _operator)


def _operator(form: WorkForm) -> Key:
    return form.name, form.phase


def _sums(work: RankWork, values: npt.NDArray[np.int64], key: Callable[[WorkForm], Key]) -> Sums:
    """Of its own work, added up by key."""
    sums: Sums = defaultdict(float)
    for form, value in zip(work.forms, values.tolist(), strict=True):
        if form.is_compute:
            sums[key(form)] += value
    return sums


def _medians(
    ranks: Sequence[RankWork], of: Callable[[RankWork], Sums], keys: Collection[Key], missing: float
) -> Sums:
    """Over `ranks`, what each has of a key; `missing` where it has none, nan: it does not count."""
    table = np.full((len(keys), len(ranks)), missing)
    for column, work in enumerate(ranks):
        sums = of(work)
        table[:, column] = [sums.get(key, missing) for key in keys]
    counted = [row[~np.isnan(row)] for row in table]
    return {key: float(np.median(row)) if len(row) else 0.0 for key, row in zip(keys, counted, strict=True)}


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
    rows = [at for at, form in enumerate(work.forms) if form.is_compute and _operator(form) == key]
    shapes = {work.forms[at].shape for at in rows} - {""}
    return int(work.calls[rows].sum()), shapes


def _slower(mine: RankWork, others: Sequence[RankWork]) -> Cause | None:
    """One factor by which nearly all kernels take longer, calls and shapes being the same."""
    call_ns = _call_ns(mine)
    usual = _medians(others, _call_ns, call_ns, missing=np.nan)
    weights = _sums(mine, mine.attributed_ns, _form)
    ratios = [(ns / usual[key], weights[key]) for key, ns in call_ns.items() if usual[key] > 0]
    compute_ns = sum(weights.values())
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


def _call_ns(work: RankWork) -> Sums:
    """Mean time of a call."""
    ns, calls = _sums(work, work.time_ns, _form), _sums(work, work.calls, _form)
    return {key: ns[key] / calls[key] for key in ns if calls[key]}


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
