"""What-if: the step projected onto another device, row by row.

A projection, not a prediction. A row that a roof limits takes its roof time there, by the efficiency that it
has here as it carries to that device (device/typical.py): products, streams and reductions each in their own
way, and small work less well than large. A row of launches that no roof limits takes as long as here, or as
long as the roofs there make it. Communication, copies over a link, rows without a price and idle time stay as
they are: the host and its peers do not change. docs/what-if.md has the assumptions, and where the bands come
from; what_if_notices.py says where none of it holds, and there is no projection then.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from traceanalyzer.assembly.what_if_notices import CODES, notices, withheld
from traceanalyzer.assembly.what_if_rows import on
from traceanalyzer.records import Device, Job, OpRow, Projection, TimeInfo
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.records.times import shown_step

_DEFAULTS = Thresholds()


def projections(
    rows: Sequence[OpRow], here: Device, time: TimeInfo, steps: int, others: Sequence[Device],
    limits: Thresholds = _DEFAULTS,
) -> tuple[Projection, ...]:  # fmt: skip
    """One for each of the `others` but those withheld, in their order.

    `steps` is 0 where they are not alike, or none.
    """
    shown = [device for device in others if withheld(rows, here, device) is None]
    return tuple(_projection(rows, here, time, steps, device, limits) for device in shown)


def projected(saved: Job, others: Sequence[Device]) -> Job:
    """A saved report with projections onto `others`, as it is shown again; it is not analyzed anew."""
    if not others:
        return saved
    kept = [notice for notice in saved.source.warnings if notice.code not in CODES]
    warnings = (*kept, *notices(saved.op_rows, saved.device, others))
    steps = 0 if shown_step(saved.step_rows, saved.window.kinds) else len(saved.window.steps)
    limits = _limits(saved)
    return structs.replace(
        saved,
        source=structs.replace(saved.source, warnings=warnings),
        what_if=projections(saved.op_rows, saved.device, saved.time, steps, others, limits),
    )


def _limits(saved: Job) -> Thresholds:
    """Those that the report was made with; the defaults of what an older one does not have."""
    return Thresholds(**{name: saved.thresholds.get(name, x) for name, x in _DEFAULTS.as_dict().items()})


def _projection(
    rows: Sequence[OpRow], here: Device, time: TimeInfo, steps: int, device: Device, limits: Thresholds
) -> Projection:
    there = [row for row in (on(each, here, device, limits) for each in rows) if row is not None]
    busy = sum(row.time_ns for row in there)
    memory_bound = sum(row.time_ns for row in there if row.memory_bound)
    return Projection(
        device=device.name,
        busy_ns=round(busy),
        busy_low_ns=round(sum(row.low_ns for row in there)),
        busy_high_ns=round(sum(row.high_ns for row in there)),
        step_ns=round((busy + time.idle_ns) / steps) if steps else None,
        memory_bound_share_of_busy=memory_bound / busy if busy else 0.0,
    )
