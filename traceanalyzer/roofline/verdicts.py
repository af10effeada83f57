"""The verdict of one row: its bound, its efficiency, and why it does not reach its roof.

roof time = max(FLOPs / peak, bytes / bandwidth); efficiency = roof time / time. Bytes are compulsory
traffic, so efficiency is a lower bound of what hardware counters would show. The limiter is the roof that
the row really reaches, by the traffic where more than the compulsory bytes is proved. Nothing here guesses:
a row without bytes, FLOPs, bandwidth or peak is `unmodelled`, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from traceanalyzer.device.table import part_of
from traceanalyzer.records import (
    Bound,
    Device,
    Engine,
    Flag,
    FunctionCount,
    FunctionRate,
    Limiter,
    Reason,
    Verdict,
)
from traceanalyzer.records.calls import RANDOM
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.roofline.precision import Choice, choose

# Special functions issue at 16 results a clock and multiprocessor against 128 or 256 fp32 FLOPs (64 or
# 128 fused multiply-adds): CUDA C++ Programming Guide, "Arithmetic Instructions", throughput table.
_FLOPS_PER_SPECIAL = {
    "7.0": 8,
    "7.5": 8,
    "8.0": 8,
    "8.6": 16,
    "8.9": 16,
    "9.0": 16,
    "10.0": 16,
    "12.0": 16,
}


Rates = Mapping[tuple[str, str], float]  # (function, precision): elements a second
_DISPROVED = 1.5  # a row that takes so much less than at a measured rate: the rate is too low for it


class Roofs(msgspec.Struct, frozen=True):
    """The roofs and limits that every row of one analysis is compared with."""

    device: Device
    floor_ns: int
    limits: Thresholds
    tf32: bool | None = None  # Recording.tf32
    special_per_s: float | None = None  # special functions the device can issue
    rates: Rates = msgspec.field(default_factory=dict)

    @classmethod
    def of(
        cls, device: Device, floor_ns: int, limits: Thresholds, tf32: bool | None = None,
        rates: Iterable[FunctionRate] = (),
    ) -> Roofs:  # fmt: skip
        """With the issue rate of special functions, where the architecture's is known; `rates`: a CPU's."""
        part, peak = part_of(device), device.peak("vector", "fp32")
        ratio = _FLOPS_PER_SPECIAL.get(part.compute_capability or "") if part else None
        rate = peak / ratio if peak and ratio else None
        measured: Rates = {(each.function, each.precision): each.per_s for each in rates}
        return cls(device, floor_ns, limits, tf32, rate, measured)

    def functions_ns(self, functions: Iterable[FunctionCount]) -> float:
        """What evaluating them takes at the measured rates; those without one take nothing."""
        rated = ((each.count, self._rate(each)) for each in functions)
        return sum(count / rate * 1e9 for count, rate in rated if rate)

    def _rate(self, each: FunctionCount) -> float | None:
        """Drawing a number takes the time, whatever the type that it is stored in (a mask is of booleans)."""
        rate = self.rates.get((each.function, each.precision))
        return rate or (self.rates.get((each.function, "fp32")) if each.function in RANDOM else None)


class RowFacts(msgspec.Struct, frozen=True):
    """What is known of a row. Totals are over its complete calls, those that lie inside the window.

    Without a complete call `time_ns` is None and the totals are over all calls: they still give the
    bound, but nothing was measured.
    """

    work: Literal["compute", "communication", "copy"]
    time_ns: int | None  # sum over calls of the union of each call's kernels
    flops: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    engine: Engine = "vector"  # as the formula has them
    precision: str = "fp32"
    special_functions: int = 0
    traffic_bytes: int | None = None  # where more than `bytes` is proved
    possible_bytes: int | None = None  # where more may be moved, proved or not
    functions: tuple[FunctionCount, ...] = ()  # that a CPU evaluates, of all these calls
    unpriced: Reason | None = None  # why there is no cost
    corners: tuple[RowFacts, ...] = ()  # where only a range is known: the same row at its ends, least first
    median_call_ns: int = 0  # of complete calls
    blocks: int = -1  # of that call's longest kernel; 0 or less: not recorded
    waves: float | None = None  # of that kernel
    kernels: tuple[tuple[str, int], ...] = ()  # (name, time_ns)
    borrowed_shapes: bool = False

    @property
    def bytes(self) -> int | None:
        """Read and written; None where either is unknown."""
        if self.read_bytes is None or self.write_bytes is None:
            return None
        return self.read_bytes + self.write_bytes


class Judgment(msgspec.Struct, frozen=True):
    """The verdict columns of a row."""

    verdict: Verdict
    bound: Bound | None = None
    flags: tuple[Flag, ...] = ()
    engine: Engine | None = None
    precision: str | None = None
    roof_ns: float | None = None
    efficiency: float | None = None
    limiter: Limiter | None = None  # None: not modelled, or not measured
    intensity: float | None = None  # FLOP/byte
    functions_ns: float = 0.0  # at the measured rates, where that is what arithmetic takes
    reason: Reason | None = None  # exactly where the verdict is `unmodelled`


def judge_row(row: RowFacts, roofs: Roofs) -> Judgment:
    """The verdict of one row; a pure function of its facts and the roofs."""
    if row.work != "compute":
        return Judgment(row.work, flags=_recorded_flags(row))
    if row.corners:
        return _between(row, roofs)
    if row.flops is None or row.bytes is None:
        return _by_bytes(row, roofs, row.unpriced or "no_formula", None)
    rate = row.flops * 1e9 / row.time_ns if row.time_ns else None
    choice = choose(row.engine, row.precision, row.kernels, roofs.device, roofs.tf32, rate)
    bandwidth = roofs.device.bandwidth_bytes_per_s
    if bandwidth is None:
        bare = not roofs.device.peaks and roofs.device.how == "unknown"
        return _unmodelled(row, "no_device" if bare else "no_peak", choice)
    memory_ns = row.bytes / bandwidth * 1e9
    if row.flops == 0 and row.bytes == 0:
        return _without_work(row, roofs, choice)
    functions_ns = _functions_ns(row, roofs)
    if choice.peak is not None:
        flops_ns = row.flops / choice.peak * 1e9
        return _modelled(row, roofs, choice, max(flops_ns, functions_ns), memory_ns)
    if row.flops == 0:
        return _modelled(row, roofs, choice, functions_ns, memory_ns)
    return _by_bytes(row, roofs, "no_peak", choice)


def _between(row: RowFacts, roofs: Roofs) -> Judgment:
    """The verdict that a row has wherever its work lies in the range; of its figures those that agree there.

    A side of the ridge, and an efficiency below a limit, hold between two ends where they hold at both. Where
    they do not, the bytes that are moved at least may explain the time alone. An end that takes longer
    than was measured is not left out: work right below the roof lies on its side of the ridge as well.
    """
    ends = [judge_row(corner, roofs) for corner in row.corners]
    first = ends[0]

    def common(name: str) -> Any:
        return getattr(first, name) if len({getattr(end, name) for end in ends}) == 1 else None

    verdict: Verdict | None = common("verdict")
    if verdict is None or verdict == "unmodelled":
        reason = (first.reason if verdict else row.unpriced) or "data_dependent"
        judgment = _unmodelled(row, reason, None) if verdict else _by_least_bytes(row, first, roofs, reason)
        return replace(judgment, flags=(*judgment.flags, "bounded"))
    shared = tuple(flag for flag in first.flags if all(flag in end.flags for end in ends))
    figures = {name: common(name) for name in ("bound", "engine", "precision", "roof_ns", "efficiency",
                                               "limiter", "intensity", "reason")}  # fmt: skip
    return Judgment(verdict, flags=(*shared, "bounded"), **figures)


def _by_least_bytes(row: RowFacts, least: Judgment, roofs: Roofs, reason: Reason) -> Judgment:
    """Of a row whose ends disagree: memory-bound where the least bytes alone explain the time.

    They do not where the least FLOPs explain more of it. Roof time and efficiency are left empty unless the
    bytes are known, which then are at least these.
    """
    few = row.corners[0]
    judgment = _by_bytes(replace(few, flops=None), roofs, reason, None)
    if judgment.verdict == "unmodelled" or least.bound != "memory":
        return _unmodelled(row, reason, None)
    if any(end.bytes != few.bytes for end in row.corners):
        return replace(judgment, roof_ns=None, efficiency=None)
    return judgment


def _without_work(row: RowFacts, roofs: Roofs, choice: Choice) -> Judgment:
    """A view, an allocation, an op that only calls others: dispatch, or time that no model explains."""
    if row.median_call_ns > roofs.limits.latency_floors * roofs.floor_ns:
        return _unmodelled(row, "no_formula", choice)
    return Judgment(
        "latency_bound", "memory", _recorded_flags(row), choice.engine, choice.precision, 0.0,
        limiter="neither" if row.time_ns else None,
    )  # fmt: skip


def _modelled(row: RowFacts, roofs: Roofs, choice: Choice, compute_ns: float, memory_ns: float) -> Judgment:
    """Bytes, FLOPs and both roofs are known."""
    assert row.flops is not None and row.bytes is not None
    bound: Bound = "compute" if compute_ns > 0 and compute_ns >= memory_ns else "memory"
    verdict: Verdict = "compute_bound" if bound == "compute" else "memory_bound"
    roof_ns = max(compute_ns, memory_ns)
    flags = list(_recorded_flags(row))
    if roof_ns > 0 and abs(compute_ns - memory_ns) <= roofs.limits.balanced * roof_ns:
        flags.append("balanced")
    if choice.tf32_assumed:
        flags.append("tf32_assumed")
    efficiency = None
    if row.time_ns:
        efficiency = roof_ns / row.time_ns
        if efficiency < roofs.limits.efficiency:
            if _is_latency(row, roofs):
                verdict = "latency_bound"
            else:
                flags.append("inefficient")
            if _special_functions_explain(row, roofs, roof_ns):
                flags.append("special_function_heavy")
        if memory_ns > row.time_ns:
            flags.append("cache_resident")
        if compute_ns > row.time_ns:
            flags.append("over_roof")
    return Judgment(
        verdict,
        bound,
        tuple(flags),
        choice.engine,
        choice.precision,
        roof_ns,
        efficiency,
        _limiter(row, roofs, compute_ns),
        _intensity(row),
        compute_ns if row.functions and compute_ns == _functions_ns(row, roofs) else 0.0,
    )


def _functions_ns(row: RowFacts, roofs: Roofs) -> float:
    """What its functions take at the measured rates; 0 where the row itself shows that a rate is too low.

    A row that takes less than they would disproves a rate; where its bytes explain the time, nothing is left
    for the functions to explain. A random number has no FLOPs: beside its few bytes nothing else explains it.
    """
    taken, bandwidth = roofs.functions_ns(row.functions), roofs.device.bandwidth_bytes_per_s
    if not row.time_ns or taken <= row.time_ns:
        return taken
    moved = row.traffic_bytes or row.bytes
    memory_ns = moved / bandwidth * 1e9 if moved and bandwidth else 0.0
    explained = memory_ns >= roofs.limits.at_roof * row.time_ns
    drawn = all(each.function in RANDOM for each in row.functions)
    return 0.0 if explained or (taken > _DISPROVED * row.time_ns and not drawn) else taken


def _limiter(row: RowFacts, roofs: Roofs, compute_ns: float) -> Limiter | None:
    """The roof that the row reaches, the higher where it reaches both.

    None where nothing was measured, or bytes that it may move and that are not proved would decide.
    """
    moved, bandwidth = row.traffic_bytes or row.bytes, roofs.device.bandwidth_bytes_per_s
    if not row.time_ns or moved is None or bandwidth is None:
        return None
    memory_ns, reached_ns = moved / bandwidth * 1e9, roofs.limits.at_roof * row.time_ns
    if max(memory_ns, compute_ns) >= reached_ns:
        return "memory" if memory_ns > compute_ns else "compute"
    possible_ns = (row.possible_bytes or 0) / bandwidth * 1e9
    return "neither" if possible_ns < reached_ns else None


def _is_latency(row: RowFacts, roofs: Roofs) -> bool:
    """Of an inefficient row: too short, too few blocks, or less than a wave and short, to reach a roof.

    Persistent kernels launch one block a multiprocessor by design and are not excused by it.
    """
    limits, count = roofs.limits, roofs.device.multiprocessors
    if row.median_call_ns <= limits.latency_floors * roofs.floor_ns:
        return True
    if count is not None and 0 < row.blocks < limits.latency_multiprocessors * count:
        return True
    return (
        row.waves is not None and row.waves < 1 and row.median_call_ns <= limits.wave_floors * roofs.floor_ns
    )


def _special_functions_explain(row: RowFacts, roofs: Roofs, roof_ns: float) -> bool:
    """Whether the issue rate of special functions explains the row's time."""
    if not roofs.special_per_s or not row.time_ns:
        return False
    issue_ns = row.special_functions / roofs.special_per_s * 1e9
    return issue_ns > roof_ns and issue_ns >= roofs.limits.efficiency * row.time_ns


def _by_bytes(row: RowFacts, roofs: Roofs, reason: Reason, choice: Choice | None) -> Judgment:
    """FLOPs or their peak are unknown: memory-bound only where bytes alone explain the time."""
    bandwidth = roofs.device.bandwidth_bytes_per_s
    if row.bytes is None or bandwidth is None or not row.time_ns:
        return _unmodelled(row, reason, choice)
    roof_ns = row.bytes / bandwidth * 1e9
    if roof_ns < roofs.limits.bytes_only * row.time_ns or row.bytes == 0:
        return _unmodelled(row, reason, choice)
    over: tuple[Flag, ...] = ("cache_resident",) if roof_ns > row.time_ns else ()
    return Judgment(
        "memory_bound",
        "memory",
        (*_recorded_flags(row), "bytes_only", *over),
        choice.engine if choice else None,
        choice.precision if choice else None,
        roof_ns,
        roof_ns / row.time_ns,
        _limiter(row, roofs, 0.0),
        _intensity(row),
    )


def _unmodelled(row: RowFacts, reason: Reason, choice: Choice | None) -> Judgment:
    return Judgment(
        "unmodelled",
        flags=_recorded_flags(row),
        engine=choice.engine if choice else None,
        precision=choice.precision if choice else None,
        intensity=_intensity(row),
        reason=reason,
    )


def _recorded_flags(row: RowFacts) -> tuple[Flag, ...]:
    """What the records themselves say, whatever the verdict."""
    flags: list[Flag] = []
    if row.borrowed_shapes:
        flags.append("borrowed_shapes")
    if row.time_ns == 0:
        flags.append("zero_duration")
    return tuple(flags)


def _intensity(row: RowFacts) -> float | None:
    if row.flops is None or not row.bytes:
        return None
    return row.flops / row.bytes
