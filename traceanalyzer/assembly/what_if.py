"""What another device would make of the same kernels: each row's roof time there by its roof time here.

A projection, not a prediction. It assumes that a row reaches the same share of its roof there as here;
that what no roof limits (launches, communication, copies, rows without a price) takes as long as here;
and that the device waits as long as here, for the host and its peers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from traceanalyzer.records import Analysis, Device, OpRow, Projection

_LIMITED = ("compute_bound", "memory_bound")


@dataclass(frozen=True, slots=True)
class _There:
    """One row on the other device."""

    time_ns: float
    memory_bound: bool


def projections(analysis: Analysis, devices: Sequence[Device]) -> tuple[Projection, ...]:
    """One for each device, in their order."""
    return tuple(_projection(analysis, device) for device in devices)


def _projection(analysis: Analysis, device: Device) -> Projection:
    rows = [_there(row, analysis.device, device) for row in analysis.op_rows]
    busy = sum(row.time_ns for row in rows)
    memory_bound = sum(row.time_ns for row in rows if row.memory_bound)
    steps, step_ns = len(analysis.window.steps), None
    if steps:
        step_ns = round((busy + analysis.time.idle_ns) / steps)
    return Projection(
        device=device.name, busy_ns=round(busy), step_ns=step_ns,
        memory_bound_share_of_busy=memory_bound / busy if busy else 0.0,
    )  # fmt: skip


def _there(row: OpRow, here: Device, device: Device) -> _There:
    """As long as here where no roof limits the row, or the device has no peak of its kind."""
    sides, others = _sides(row, here), _sides(row, device)
    if row.verdict not in _LIMITED or sides is None or others is None or not max(sides):
        return _There(row.attributed_ns, row.verdict == "memory_bound")
    memory, compute = others
    return _There(row.attributed_ns * max(others) / max(sides), memory >= compute)


def _sides(row: OpRow, device: Device) -> tuple[float, float] | None:
    """(time of the bytes, time of the FLOPs) at a device's roofs; None where one is not known."""
    bandwidth = device.bandwidth_bytes_per_s
    if not bandwidth or row.read_bytes is None or row.write_bytes is None:
        return None
    memory = (row.read_bytes + row.write_bytes) / bandwidth
    if not row.flops:
        return memory, 0.0
    peak = device.peak(row.engine, row.precision) if row.engine and row.precision else None
    return (memory, row.flops / peak) if peak else None
