"""What-if: the step projected onto another device, row by row.

A projection, not a prediction. A row that a roof limits takes its roof time there, by the efficiency that it
has here as it carries to that device (device/typical.py): products, streams and reductions each in their own
way, and small work less well than large. A row of launches that no roof limits takes as long as here.
Communication, copies, rows without a price and idle time stay as they are: the host and its peers do not
change. docs/what-if.md has the assumptions, and where the bands come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from traceanalyzer.device.typical import Kind, carried, generation, vendor
from traceanalyzer.records import Device, Job, Notice, OpRow, Projection, TimeInfo
from traceanalyzer.records.times import shown_step

_FLOOR_NS = 2000  # of a launch: no kernel is shorter on any GPU of today
_LEAST_OF_ROOF, _MOST_OF_ROOF = 0.01, 1.1  # of it that a call is taken to reach
# Where a type has no peak there: what such tensors then run as (no bf16 before Ampere, no fp8 before Ada).
_INSTEAD = {
    ("matrix", "fp8"): (("matrix", "bf16"), ("matrix", "fp16")),
    ("matrix", "bf16"): (("vector", "fp32"),),
    ("matrix", "tf32"): (("matrix", "fp32"), ("vector", "fp32")),
    ("vector", "fp32"): (("matrix", "fp32"),),
    ("matrix", "fp32"): (("vector", "fp32"),),
    ("matrix", "fp64"): (("vector", "fp64"),),
}


@dataclass(frozen=True, slots=True)
class _Error:
    """Times beside the projected one between which the truth is expected."""

    low: float
    high: float


# Within a generation, within a vendor's parts, and between vendors; of rows that no roof limits everywhere.
_ERRORS = {"generation": _Error(0.85, 1.2), "vendor": _Error(0.75, 1.35), "other": _Error(0.72, 1.42)}
_UNLIMITED = _Error(0.72, 1.42)
_SAME = _Error(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _There:
    """One row on the other device."""

    time_ns: float
    memory_bound: bool
    error: _Error = _SAME


def projections(
    rows: Sequence[OpRow], here: Device, time: TimeInfo, steps: int, others: Sequence[Device]
) -> tuple[Projection, ...]:
    """One for each of the `others`, in their order; `steps` is 0 where they are not alike, or none."""
    return tuple(_projection(rows, here, time, steps, device) for device in others)


def unlike(here: Device, others: Sequence[Device]) -> tuple[Notice, ...]:
    """A notice where a CPU is projected onto a GPU or the reverse."""
    names = [other.name for other in others if other.kind != here.kind]
    if not names:
        return ()
    text = f"a {here.kind.upper()} and {', '.join(names)} run other kernels: the projection "
    text += "holds between devices of one kind, and rows without a peak there keep their time"
    return (Notice("what_if_unlike", text, len(names)),)


def projected(saved: Job, others: Sequence[Device]) -> Job:
    """A saved report with projections onto `others`, as it is shown again; it is not analyzed anew."""
    if not others:
        return saved
    kept = [notice for notice in saved.source.warnings if notice.code != "what_if_unlike"]
    warnings = (*kept, *unlike(saved.device, others))
    steps = 0 if shown_step(saved.steps, saved.window.kinds) else len(saved.window.steps)
    return structs.replace(
        saved,
        source=structs.replace(saved.source, warnings=warnings),
        what_if=projections(saved.op_rows, saved.device, saved.time, steps, others),
    )


def _projection(
    rows: Sequence[OpRow], here: Device, time: TimeInfo, steps: int, device: Device
) -> Projection:
    there = [_there(row, here, device) for row in rows]
    busy = sum(row.time_ns for row in there)
    memory_bound = sum(row.time_ns for row in there if row.memory_bound)
    return Projection(
        device=device.name,
        busy_ns=round(busy),
        busy_low_ns=round(sum(row.time_ns * row.error.low for row in there)),
        busy_high_ns=round(sum(row.time_ns * row.error.high for row in there)),
        step_ns=round((busy + time.idle_ns) / steps) if steps else None,
        memory_bound_share_of_busy=memory_bound / busy if busy else 0.0,
    )


def _there(row: OpRow, here: Device, device: Device) -> _There:
    """As long as here where no roof limits the row, or the device has no peak of its kind."""
    same = _There(row.attributed_ns, row.verdict == "memory_bound")
    if row.verdict == "latency_bound":
        return same if generation(here) == generation(device) else _There(same.time_ns, False, _UNLIMITED)
    sides, others = _sides(row, here), _sides(row, device)
    limited = row.verdict in ("compute_bound", "memory_bound") and row.calls
    if not limited or sides is None or others is None or not max(sides):
        return same if row.verdict in ("communication", "copy") else _unpriced(same, here, device)
    error = _error(here, device)
    here_ns, there_ns = max(sides) / row.calls, max(others) / row.calls
    reached = carried(_kind(row), here, here_ns, device, there_ns)
    time_ns = row.attributed_ns * max(others) / max(sides) / _bounded(reached, row)
    if generation(here) != generation(device) and row.attributed_ns > _FLOOR_NS * row.calls:
        time_ns = max(time_ns, _FLOOR_NS * row.calls)
    return _There(time_ns, others[0] >= others[1], error)


def _unpriced(same: _There, here: Device, device: Device) -> _There:
    """As long as here, but it may be as much faster or slower as the memory is: nothing of it is known."""
    if generation(here) == generation(device) or not here.bandwidth_bytes_per_s:
        return same
    slower = here.bandwidth_bytes_per_s / (device.bandwidth_bytes_per_s or here.bandwidth_bytes_per_s)
    error = _Error(min(1.0, slower) * _UNLIMITED.low, max(1.0, slower) * _UNLIMITED.high)
    return _There(same.time_ns, same.memory_bound, error)


def _bounded(reached: float, row: OpRow) -> float:
    """What a call reaches of its roof there by what it reaches here, neither nothing nor far beyond it."""
    if reached == 1.0 or not row.efficiency:
        return 1.0
    return (
        min(max(row.efficiency * reached, _LEAST_OF_ROOF), max(_MOST_OF_ROOF, row.efficiency))
        / row.efficiency
    )


def _kind(row: OpRow) -> Kind:
    if row.operator_class == "tensor_contraction":
        return "products"
    return "reductions" if row.operator_class == "statistical_normalization" else "streaming"


def _error(here: Device, there: Device) -> _Error:
    if here == there:
        return _SAME
    if generation(here) == generation(there):
        return _ERRORS["generation"]
    return _ERRORS["vendor" if vendor(here) == vendor(there) else "other"]


def _sides(row: OpRow, device: Device) -> tuple[float, float] | None:
    """(time of the bytes, time of the FLOPs) at a device's roofs, in ns; None where one is not known."""
    bandwidth = device.bandwidth_bytes_per_s
    if not bandwidth or row.read_bytes is None or row.write_bytes is None:
        return None
    memory = (row.read_bytes + row.write_bytes) / bandwidth * 1e9
    if not row.flops:
        return memory, 0.0
    peak = _peak(row, device)
    return (memory, row.flops / peak * 1e9) if peak else None


def _peak(row: OpRow, device: Device) -> float | None:
    """Of the row's engine and precision, or of what its tensors run as where there is none."""
    if not row.engine or not row.precision:
        return None
    wanted = (row.engine, row.precision)
    peaks = (device.peak(*each) for each in (wanted, *_INSTEAD.get(wanted, ())))
    return next((peak for peak in peaks if peak), None)
