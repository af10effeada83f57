"""`memory_use`: how much memory the shown step uses, when most, and what holds it then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from traceanalyzer.device.resolve import properties_of
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.memory_use import HeldKind, MemoryHolder, MemoryUse
from traceanalyzer.records.timeline import MOST_BINS
from traceanalyzer.records.times import typical_step
from traceanalyzer.records.trace import (
    PHASES,
    Bools,
    Ids,
    Ints,
    Memory,
    OpKind,
    Ops,
    Step,
    Trace,
    phase_named,
)
from traceanalyzer.records.vocabulary import Phase

_CPU = -1  # in Memory.device
_MOST_HOLDERS = 100  # of more the smallest are added up without their module
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class _Levels:
    """Memory rows of one device, and how much is in use after each."""

    rows: Memory
    bytes: Ints
    totals: bool  # as the allocator says


def memory_use(shown: Judged) -> MemoryUse | None:
    """Of the step that is shown; None where no memory rows of the device were recorded in it."""
    trace = shown.priced.trace
    levels = _levels(trace, shown.device_index)
    if levels is None:
        return None
    step = _step(shown)
    name, start_ns, end_ns = (step.name, step.start_ns, step.end_ns) if step else (None, *_whole(levels))
    first, last = map(int, np.searchsorted(levels.rows.time_ns, (start_ns, end_ns)))
    if first == last:
        return None
    before = _before(levels, first)
    peak, at = max((before, -first), (int(levels.bytes[first:last].max()), -_highest(levels, first, last)))
    row = -at if peak > before else first - 1
    width = max(1, -(-(end_ns - start_ns) // MOST_BINS))
    reserved = int(levels.rows.reserved[max(0, first - 1) : last].max())
    properties = None if trace.on_cpu else properties_of(trace.devices, shown.device_index)
    return MemoryUse(
        step=name,
        device_bytes=properties.memory_bytes if properties else None,
        before_step_bytes=before,
        peak_bytes=peak,
        peak_at_ns=int(levels.rows.time_ns[row]) - start_ns if peak > before else 0,
        reserved_bytes=reserved if reserved > 0 else None,
        bin_ns=width,
        bins=_bins(levels, (first, last), (start_ns, end_ns, width), before),
        holders=tuple(_holders(trace, levels, row, peak, (start_ns, end_ns))),
        how=("since_recording" if trace.on_cpu else "totals") if levels.totals else "rows",
    )


def _levels(trace: Trace, index: int) -> _Levels | None:
    memory = trace.memory
    if memory is None:
        return None
    mine = memory.device == (_CPU if trace.on_cpu else index)
    if not mine.any():
        return None
    rows = Memory(*(getattr(memory, name)[mine] for name in Memory.__dataclass_fields__))
    if (rows.allocated >= 0).all():
        return _Levels(rows, rows.allocated, True)
    added = np.cumsum(rows.bytes)
    return _Levels(rows, added - min(0, int(added.min())), False)


def _step(shown: Judged) -> Step | None:
    """On the host: the one of median length on the device; None for a trace without steps."""
    steps = shown.window.steps
    if len(steps) < 2:
        return steps[0] if steps else None
    return steps[shown.steps.index(typical_step(shown.steps))]


def _whole(levels: _Levels) -> tuple[int, int]:
    times = levels.rows.time_ns
    return int(times[0]), int(times[-1]) + 1


def _before(levels: _Levels, first: int) -> int:
    """In use before row `first`."""
    if first:
        return int(levels.bytes[first - 1])
    return max(0, int(levels.bytes[0] - levels.rows.bytes[0]))


def _highest(levels: _Levels, first: int, last: int) -> int:
    return first + int(np.argmax(levels.bytes[first:last]))


def _bins(levels: _Levels, rows: tuple[int, int], span: tuple[int, int, int], before: int) -> tuple[int, ...]:
    """The most in use in each bin: what it begins with, or what is reached in it."""
    (first, last), (start_ns, end_ns, width) = rows, span
    times, used = levels.rows.time_ns[first:last], levels.bytes[first:last]
    edges = np.arange(start_ns, end_ns, width)
    begins = np.searchsorted(times, edges) - 1
    most = np.where(begins >= 0, used[np.maximum(begins, 0)], before)
    np.maximum.at(most, (times - start_ns) // width, used)
    return tuple(most.tolist())


def _holders(
    trace: Trace, levels: _Levels, row: int, peak: int, step: tuple[int, int]
) -> Iterator[MemoryHolder]:
    """What was allocated up to `row` and is freed behind it; the rest was there before the recording."""
    live, freed_ns = _live(levels.rows, row)
    size = levels.rows.bytes[live]
    op = _innermost(trace.ops, levels.rows.thread[live], levels.rows.time_ns[live])
    has = op >= 0
    phase = np.where(has, trace.ops.phase[op], -1) if len(trace.ops) else np.full(len(op), -1)
    module = np.where(has, trace.ops.module[op], -1) if len(trace.ops) else np.full(len(op), -1)
    held: Counter[tuple[str | None, Phase | None, HeldKind | None]] = Counter()
    backward = _backward(trace.ops, step)
    times = levels.rows.time_ns[live].tolist(), freed_ns.tolist()
    for code, at, begun, until, amount in zip(
        phase.tolist(), module.tolist(), *times, size.tolist(), strict=True
    ):
        name = trace.names[at] if at >= 0 else None
        of = phase_named(code)
        held[name, of, _purpose(of, (begun, until), backward, step)] += amount
    rest = peak - int(size.sum())
    if rest > 0:
        held[None, None, "before_recording"] += rest
    for key, amount in held.most_common()[_MOST_HOLDERS:]:
        del held[key]
        held[None, key[1], key[2]] += amount
    order = sorted(held.items(), key=lambda each: (-each[1], *(part or "" for part in each[0])))
    yield from (MemoryHolder(*key, amount) for key, amount in order)


def _live(rows: Memory, row: int) -> tuple[Ids, Ints]:
    """Rows of what is in use after `row`, and when each is freed; what has no address is not known."""
    order = np.flatnonzero(rows.address >= 0)
    order = order[np.argsort(rows.address[order], kind="stable")]
    follower = np.append(order[1:], len(rows.time_ns))
    same = np.append(rows.address[order[1:]] == rows.address[order[:-1]], False)
    follower = np.where(same, follower, len(rows.time_ns))
    chosen = (rows.bytes[order] > 0) & (order <= row) & (follower > row)
    freed = np.append(rows.time_ns, _NEVER)[follower[chosen]]
    return order[chosen].astype(np.int32), freed


def _innermost(ops: Ops, thread: Ids, time_ns: Ints) -> Ids:
    """The innermost operator that is open on the thread at the time; -1 where none is."""
    op = np.full(len(thread), -1, np.int32)
    for each in np.unique(thread).tolist():
        low, high = np.searchsorted(ops.thread, (each, each + 1)).tolist()
        mine = thread == each
        last = low - 1 + np.searchsorted(ops.start_ns[low:high], time_ns[mine], side="right")
        op[mine] = np.where(last >= low, last, -1)
    while True:
        left: Bools = op >= 0
        left[left] = ops.end_ns[op[left]] < time_ns[left]
        if not left.any():
            return op
        op[left] = ops.parent[op[left]]


def _backward(ops: Ops, step: tuple[int, int]) -> tuple[int, int] | None:
    """When the step's backward pass begins and ends."""
    inside = (ops.phase == PHASES.index("backward")) & (ops.start_ns >= step[0]) & (ops.start_ns < step[1])
    inside &= ops.kind != OpKind.ANNOTATION
    if not inside.any():
        return None
    return int(ops.start_ns[inside].min()), int(ops.end_ns[inside].max())


def _purpose(
    phase: Phase | None,
    lifetime: tuple[int, int],
    backward: tuple[int, int] | None,
    step: tuple[int, int],
) -> HeldKind | None:
    """By the phase that allocates it and the one that it lasts into; in inference all is forward."""
    allocated_ns, freed_ns = lifetime
    if phase is None and backward is None and allocated_ns >= step[0]:
        return "activations"
    if phase in ("forward", "recompute"):
        return "activations" if backward is None or freed_ns >= backward[0] else "temporary"
    if phase == "backward":
        return "gradients" if backward is None or freed_ns > backward[1] else "temporary"
    if phase == "optimizer":
        return "optimizer_state" if freed_ns >= step[1] else "temporary"
    return None
