"""`memory_use`: how much memory the shown step uses, when most, and what holds it then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from traceanalyzer.device.resolve import properties_of
from traceanalyzer.records.code_places import module_named, modules_of_ops
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.memory_use import HeldKind, MemoryHolder, MemoryUse
from traceanalyzer.records.timeline import MOST_BINS
from traceanalyzer.records.times import typical_step
from traceanalyzer.records.trace import (
    PHASES,
    Ids,
    Ints,
    OpKind,
    Ops,
    Step,
    Trace,
    phase_named,
)
from traceanalyzer.records.vocabulary import Phase
from traceanalyzer.roofline.memory_levels import Levels, innermost_ops, levels_of, live_rows, peak_of

_MOST_HOLDERS = 100  # of more the smallest are added up without their module


def memory_use(shown: Judged) -> MemoryUse | None:
    """Of the step that is shown; None where no memory rows of the device were recorded in it."""
    trace = shown.priced.trace
    levels = levels_of(trace, shown.device_index)
    if levels is None:
        return None
    step = _step(shown)
    name, start_ns, end_ns = (step.name, step.start_ns, step.end_ns) if step else (None, *_whole(levels))
    first, last = map(int, np.searchsorted(levels.rows.time_ns, (start_ns, end_ns)))
    if first == last:
        return None
    before, peak, row = peak_of(levels, first, last)
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


def _step(shown: Judged) -> Step | None:
    """On the host: the one of median length on the device; None for a trace without steps."""
    steps = shown.window.steps
    if len(steps) < 2:
        return steps[0] if steps else None
    return steps[shown.steps.index(typical_step(shown.steps))]


def _whole(levels: Levels) -> tuple[int, int]:
    times = levels.rows.time_ns
    return int(times[0]), int(times[-1]) + 1


def _bins(levels: Levels, rows: tuple[int, int], span: tuple[int, int, int], before: int) -> tuple[int, ...]:
    """The most in use in each bin: what it begins with, or what is reached in it."""
    (first, last), (start_ns, end_ns, width) = rows, span
    times, used = levels.rows.time_ns[first:last], levels.bytes[first:last]
    edges = np.arange(start_ns, end_ns, width)
    begins = np.searchsorted(times, edges) - 1
    most = np.where(begins >= 0, used[np.maximum(begins, 0)], before)
    np.maximum.at(most, (times - start_ns) // width, used)
    return tuple(most.tolist())


def _holders(
    trace: Trace, levels: Levels, row: int, peak: int, step: tuple[int, int]
) -> Iterator[MemoryHolder]:
    """What was allocated up to `row` and is freed behind it; the rest was there before the recording."""
    live, freed_ns = live_rows(levels.rows, row)
    size = levels.rows.bytes[live]
    op = innermost_ops(trace.ops, levels.rows.thread[live], levels.rows.time_ns[live])
    has = op >= 0
    phase = np.where(has, trace.ops.phase[op], -1) if len(trace.ops) else np.full(len(op), -1)
    module = _modules(trace, op, levels.rows.thread[live], levels.rows.time_ns[live])
    held: Counter[tuple[str | None, Phase | None, HeldKind | None]] = Counter()
    backward = _backward(trace.ops, step)
    times = levels.rows.time_ns[live].tolist(), freed_ns.tolist()
    for code, at, begun, until, amount in zip(
        phase.tolist(), module.tolist(), *times, size.tolist(), strict=True
    ):
        name = module_named(trace, at)
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


def _modules(trace: Trace, op: Ids, thread: Ids, time_ns: Ints) -> Ids:
    """Of each allocation the number of its operator's module; without an operator, of what a stack shows."""
    of_op = np.append(modules_of_ops(trace), np.int32(-1))[op]
    path = trace.frames.paths_at(trace.frames.open_at(thread, time_ns))
    return np.where((op < 0) & (path >= 0), path + np.int32(len(trace.names)), of_op)


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
