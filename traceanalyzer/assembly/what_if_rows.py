"""One row on another device: its time there, the times between which the truth is expected, its limit.

Nothing is shorter there than its roof time there, and what takes longer than a launch takes at least one. A
row whose work is priced and for which the device has no peak has no time there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from traceanalyzer.device.stand_ins import peak_there
from traceanalyzer.device.typical import Kind, carried, generation, usual, vendor
from traceanalyzer.records import Device, OpRow
from traceanalyzer.records.judged import Thresholds

Sides = tuple[float, float]  # ns of the bytes, and of the FLOPs
Change = Literal["same", "generation", "vendor", "other"]
_LEAST_OF_ROOF, _MOST_OF_ROOF = 0.01, 0.95  # of it that a call is taken to reach
_LIMITED = ("compute_bound", "memory_bound")


class Spread(msgspec.Struct, frozen=True):
    """Times beside the projected one between which the truth is expected."""

    low: float
    high: float


# Programs of one device differ least in what their streams reach of the roofs, and most in their reductions:
# benchmarks/what_if_spread.py. Together no wider than two for a step of all three.
_ERRORS: Mapping[Change, Mapping[Kind, Spread]] = {
    "generation": {
        "streaming": Spread(0.87, 1.17), "products": Spread(0.85, 1.2), "reductions": Spread(0.82, 1.24),
    },
    "vendor": {
        "streaming": Spread(0.79, 1.3), "products": Spread(0.75, 1.35), "reductions": Spread(0.72, 1.41),
    },
    "other": {
        "streaming": Spread(0.77, 1.35), "products": Spread(0.73, 1.4), "reductions": Spread(0.72, 1.42),
    },
}  # fmt: skip
# Communication and copies over a link, whose host and peers are the same, wherever.
_LINKS = Spread(0.85, 1.2)
# What products of a type may run as, as the profiler spells it; of no known type, all but the rare fp64.
_OF_TYPE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "c10::BFloat16": (("matrix", "bf16"),), "c10::Half": (("matrix", "fp16"),),
    "float": (("matrix", "tf32"), ("matrix", "fp32"), ("vector", "fp32")), "double": (("matrix", "fp64"),),
}  # fmt: skip
_ANY_PRODUCT = (
    *(("matrix", precision) for precision in ("fp4", "fp8", "int8", "bf16", "fp16", "tf32", "fp32")),
    ("vector", "fp32"),
)


class RowThere(msgspec.Struct, frozen=True):
    """One row on the other device."""

    time_ns: float
    low_ns: float
    high_ns: float
    memory_bound: bool


def change(here: Device, there: Device) -> Change:
    """How far a device is from the recorded one; the same part may be spelled in several ways."""
    if _roofs(here) == _roofs(there):
        return "same"
    if here.kind != there.kind:
        return "other"
    if here.kind == "cpu" or (generation(here) and generation(here) == generation(there)):
        return "generation"
    return "vendor" if vendor(here) and vendor(here) == vendor(there) else "other"


def _roofs(device: Device) -> tuple[object, ...]:
    return device.id, device.kind, device.bandwidth_bytes_per_s, frozenset(device.peaks)


def on(row: OpRow, here: Device, there: Device, limits: Thresholds) -> RowThere | None:
    """The row on another device; None where its work is priced and has no peak there."""
    how_far = change(here, there)
    if how_far == "same":
        time = float(row.attributed_ns)
        return RowThere(time, time, time, row.verdict == "memory_bound")
    if lacks_peak(row, there):
        return None
    error = _ERRORS[how_far][work_of(row)]
    if not row.is_priced:
        return _unpriced(row, here, there, error)
    here_sides, there_sides = _sides(row, here), _sides(row, there)
    if row.verdict == "communication" or (row.verdict == "copy" and not _within_memory(row)):
        return _bounded(float(row.attributed_ns), max(there_sides), _LINKS, False)
    if not max(here_sides) or not row.calls:  # a view, or an allocation
        return _bounded(float(row.attributed_ns), 0.0, error, False)
    roof, floor = max(there_sides), _floor_ns(there, limits)
    time = _by_roofs(row, here, there, max(here_sides), roof, limits)
    # At least a launch for each of its kernels; those that are shorter here are as short there.
    time = max(time, min(float(row.attributed_ns), floor * row.kernels))
    memory = there_sides[0] >= there_sides[1] and not _is_latency(row, time, roof, floor, limits)
    return _bounded(time, _least_ns(row, here_sides, there_sides), error, memory)


def _least_ns(row: OpRow, here_sides: Sides, there_sides: Sides) -> float:
    """The roof time there; what beats its roof here, from a cache, keeps that where no roof is lower."""
    lower = any(theirs > mine for mine, theirs in zip(here_sides, there_sides, strict=True))
    return max(there_sides) if lower else min(max(there_sides), float(row.attributed_ns))


def lacks_peak(row: OpRow, there: Device) -> bool:
    """Whether the row's work is priced, and the time that it takes there at the roofs is not known."""
    if row.verdict not in (*_LIMITED, "latency_bound", "copy") or not row.attributed_ns:
        return False
    if (row.read_bytes or row.write_bytes) and not there.bandwidth_bytes_per_s:
        return True
    return bool(row.flops and row.engine and row.precision and not peak_there(there, _key(row)))


def _by_roofs(
    row: OpRow, here: Device, there: Device, here_ns: float, there_ns: float, limits: Thresholds
) -> float:
    """By what the row reaches of its roof there; what no roof limits here takes at least as long as here."""
    efficiency = row.efficiency or here_ns / max(row.attributed_ns, 1)
    sizes = here_ns / row.calls, there_ns / row.calls
    if _is_limited(row, efficiency, limits):
        ratio = carried(work_of(row), here, sizes[0], there, sizes[1])
        most = max(_MOST_OF_ROOF, efficiency)
        reached = min(max(efficiency * ratio, min(_LEAST_OF_ROOF, efficiency)), most)
        return row.attributed_ns * there_ns / here_ns * efficiency / reached
    mine, theirs = usual(work_of(row), here, sizes[0]), usual(work_of(row), there, sizes[1])
    carries = efficiency * (theirs / mine if mine and theirs else 1.0)
    # Launches and empty multiprocessors held it here: there the roof may, as it does other rows of its size.
    reached = min(max(carries, theirs or limits.at_roof), _MOST_OF_ROOF)
    return max(float(row.attributed_ns), there_ns / reached)


def _is_limited(row: OpRow, efficiency: float, limits: Thresholds) -> bool:
    return row.verdict in _LIMITED or (row.verdict == "copy" and efficiency >= limits.at_roof)


def _is_latency(row: OpRow, time_ns: float, roof_ns: float, floor_ns: float, limits: Thresholds) -> bool:
    """Whether it is latency-bound there, by the verdict's own test; its blocks are as few there as here."""
    if roof_ns >= limits.efficiency * time_ns:
        return False
    return row.verdict == "latency_bound" or time_ns <= limits.latency_floors * floor_ns * row.calls


def _floor_ns(device: Device, limits: Thresholds) -> float:
    return limits.floor_cpu_ns if device.kind == "cpu" else limits.floor_default_ns


def _unpriced(row: OpRow, here: Device, there: Device, error: Spread) -> RowThere:
    """As long as here, at least what is known of it takes, or as much faster or slower as its roofs are."""
    slower = _slower(row, here, there)
    time, least = float(row.attributed_ns), max(_sides(row, there))
    low = max(time * min(1.0, *slower) * error.low, least)
    high = max(time * max(1.0, *slower) * error.high, least * error.high)
    return RowThere(max(time, least), low, high, False)


def _slower(row: OpRow, here: Device, there: Device) -> tuple[float, ...]:
    """By how much each roof that may limit the row is lower there than here."""
    slower = []
    if here.bandwidth_bytes_per_s and there.bandwidth_bytes_per_s:
        slower.append(here.bandwidth_bytes_per_s / there.bandwidth_bytes_per_s)
    for key in _may_run_as(row):
        mine, theirs = here.peak(*key), peak_there(there, key)
        if mine and theirs:
            slower.append(mine / theirs)
    return tuple(slower)


def _may_run_as(row: OpRow) -> set[tuple[str, str]]:
    """What may limit a row without a price beside the memory: element-wise work and reductions, nothing."""
    if row.engine and row.precision:
        return {_key(row)}
    if row.operator_class not in ("tensor_contraction", "other"):
        return set()
    of_types = [key for name in row.input_types or () for key in _OF_TYPE.get(name, ())]
    return set(of_types or _ANY_PRODUCT)


def _bounded(time_ns: float, roof_ns: float, error: Spread, memory_bound: bool) -> RowThere:
    """With the band; nothing of it lies below the roof time."""
    time = max(time_ns, roof_ns)
    return RowThere(time, max(time * error.low, roof_ns), time * error.high, memory_bound)


def work_of(row: OpRow) -> Kind:
    """How its efficiency carries."""
    if row.operator_class == "tensor_contraction":
        return "products"
    return "reductions" if row.operator_class == "statistical_normalization" else "streaming"


def _within_memory(row: OpRow) -> bool:
    """A copy inside the device's memory, or a fill of it: those from and to elsewhere wait for the link."""
    both = bool(row.read_bytes and row.write_bytes)
    return (both and "PtoP" not in row.name) or ("emset" in row.name and bool(row.write_bytes))


def _key(row: OpRow) -> tuple[str, str]:
    return row.engine or "", row.precision or ""


def _sides(row: OpRow, device: Device) -> Sides:
    """(time of the bytes, time of the FLOPs) at a device's roofs, in ns; 0 where nothing is known of one."""
    bandwidth, peak = device.bandwidth_bytes_per_s, peak_there(device, _key(row))
    moved = (row.read_bytes or 0) + (row.write_bytes or 0)
    return moved / bandwidth * 1e9 if bandwidth else 0.0, (row.flops or 0) / peak * 1e9 if peak else 0.0
