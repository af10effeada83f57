"""What-if: the step projected onto another device, by the ratio of each row's roof times there and here.

A projection, not a prediction. It assumes that a row reaches the same share of its roof there as here;
that everything no roof limits (launches, communication, copies, unpriced rows) takes as long as here; and
that idle time is the same, since the host and its peers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from traceanalyzer.records import Device, Job, Notice, OpRow, Projection, TimeInfo
from traceanalyzer.records.times import shown_step

_LIMITED = ("compute_bound", "memory_bound")


@dataclass(frozen=True, slots=True)
class _There:
    """One row on the other device."""

    time_ns: float
    memory_bound: bool


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
        step_ns=round((busy + time.idle_ns) / steps) if steps else None,
        memory_bound_share_of_busy=memory_bound / busy if busy else 0.0,
    )


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
