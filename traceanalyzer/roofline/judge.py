"""`judge`: a priced trace and its device in, rows with verdicts and attributed times out.

`of_shown_step`: the same of one step alone, where an average over steps would be of none that was there;
`of_other_kinds`: of one step of each further kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.cost.kernel_names import is_communication, is_communication_op
from traceanalyzer.device.match import DeviceMatch
from traceanalyzer.device.resolve import properties_of
from traceanalyzer.records import Cost, TimeInfo
from traceanalyzer.records.judged import IdleTimes, Judged, RecordTimes, Thresholds
from traceanalyzer.records.priced import Priced
from traceanalyzer.records.timeline import StepTimeline
from traceanalyzer.records.times import StepTime, shown_step, typical_step
from traceanalyzer.records.trace import Codes, Ids, Ints, Pieces, RecordKind, Trace, Window, passes
from traceanalyzer.roofline.attribution import (
    Attributed,
    Extent,
    attributed,
    clip,
    extent,
    hidden_ns,
    union,
)
from traceanalyzer.roofline.call_kernels import Launches, launches
from traceanalyzer.roofline.counts import believed_counts
from traceanalyzer.roofline.floor import cpu_floor_ns, gpu_floor_ns
from traceanalyzer.roofline.idle import each_in_one_step, idle_by_cause, idle_times
from traceanalyzer.roofline.intervals import gaps
from traceanalyzer.roofline.invocations import COMMUNICATION, COMPUTE, COPY, Groups, group
from traceanalyzer.roofline.measure import Measured, kernel_times, measure
from traceanalyzer.roofline.occupancy import Floats, resident_blocks, waves
from traceanalyzer.roofline.row_keys import RowHead, copied, row_heads
from traceanalyzer.roofline.rows import in_order, names_of_rows, op_rows, row_facts
from traceanalyzer.roofline.step_kinds import step_kinds
from traceanalyzer.roofline.step_times import step_times
from traceanalyzer.roofline.timeline import Bins, timeline, verdict_codes
from traceanalyzer.roofline.traffic import Cache, Traffic, cpu_traffic, traffic
from traceanalyzer.roofline.verdicts import Roofs, judge_row
from traceanalyzer.roofline.work_times import by_record_and_kind, phase_of_records, work_kinds

DEFAULTS = Thresholds()
_OTHER_KINDS = 3  # of steps, that are looked at beside the one that is shown: each is judged anew
_KIND_SHARE = 0.02  # of the window, that all steps of such a kind take


class _Timing(msgspec.Struct, frozen=True, eq=False):
    """Every record against the window."""

    pieces: Pieces
    span: tuple[int, int]
    work_class: Codes  # COMPUTE, COMMUNICATION, COPY
    extent: Extent
    bins: Bins
    binned: Attributed  # between their cuts; a record stands for all that do the same work
    attributed_ns: Ints  # of each record


def judge(
    priced: Priced, index: int, window: Window, match: DeviceMatch, limits: Thresholds = DEFAULTS
) -> Judged:
    """Judge every row of device `index`. The trace holds that device's records only."""
    trace = priced.trace
    pieces = trace.pieces or _whole(trace)
    busy = union(pieces.start_ns, pieces.end_ns)
    idle = _idle(trace, busy, window)  # before there are columns of what was judged
    work_class = work_classes(trace)
    groups = group(priced, work_class)
    timing = _timing(trace, pieces, window, work_class, groups.row)
    inside = timing.extent.inside
    heads = row_heads(priced, groups, timing.work_class, inside)
    heads = copied(trace, groups, heads, inside)
    measured = measure(trace, groups, priced.overhead, timing.extent, timing.attributed_ns)
    names = names_of_rows(trace, len(heads), kernel_times(trace, groups, timing.extent.duration_ns, inside))
    recorded_tf32 = trace.recording.tf32 if trace.recording else None
    floor_ns = _floor_ns(trace, groups, heads, match, limits)
    roofs = Roofs.of(match.device, floor_ns, limits, recorded_tf32, match.cpu.rates)
    occupied = _occupancy(trace, index, measured, match)
    launched = launches(trace, groups, inside, priced.overhead)
    moved = _traffic(heads, launched, match, occupied.resident_threads)
    facts = row_facts(trace, heads, measured, occupied.waves, names, moved)
    table = op_rows(heads, measured, [judge_row(each, roofs) for each in facts], names, moved)
    table, misplaced = believed_counts(table)
    by_step = timing.bins.by_step(timing.binned)
    steps = step_times(window, by_step, groups.row, table, idle, trace.names)
    with_calls = (row for row, calls in zip(table, measured.calls, strict=True) if calls)
    return Judged(
        priced=priced,
        device=match.device,
        device_index=index,
        window=window,
        thresholds=limits,
        launch_floor_ns=roofs.floor_ns,
        time=_time(trace, timing, busy, idle),
        idle=idle,
        steps=steps,
        table=table,
        rows=in_order(with_calls),
        times=RecordTimes(groups.row, timing.extent.duration_ns, inside, timing.attributed_ns),
        kinds=step_kinds(steps, by_step, trace.kernels.name, groups.row, table, trace.names),
        cpu=match.cpu,
        timeline=_timeline(trace, timing, verdict_codes(table, groups.row), idle),
        clipped_calls=measured.cut_calls,
        notices=(*match.warnings, *window.notices, *misplaced),
    )


def of_shown_step(judged: Judged) -> Judged:
    """The same device over the one step that is shown where steps differ, or are of kinds; else `judged`.

    `steps` and `kinds` stay those of all steps, to be compared with it.
    """
    shown = shown_step(judged.steps, judged.kinds)
    return judged if shown is None else _of_step(judged, shown)


def of_other_kinds(judged: Judged) -> list[Judged]:
    """The same device over a typical step of each further kind that takes a notable part of the window."""
    groups = [[step for step in judged.steps if step.name in others.steps] for others in judged.kinds[1:]]
    whole_ns = [sum(step.device_ns for step in steps) for steps in groups]
    largest = sorted(range(len(groups)), key=lambda at: -whole_ns[at])[:_OTHER_KINDS]
    notable = [at for at in largest if whole_ns[at] >= _KIND_SHARE * judged.window_ns]
    return [_of_step(judged, typical_step(groups[at])) for at in sorted(notable)]


def _of_step(judged: Judged, shown: StepTime) -> Judged:
    step = next(s for s, time in zip(judged.window.steps, judged.steps, strict=True) if time is shown)
    window = Window((shown.device_start_ns, shown.device_start_ns + shown.device_ns), (step,))
    match = DeviceMatch(judged.device, launch_floor_ns=judged.launch_floor_ns, cpu=judged.cpu)
    alone = judge(judged.priced, judged.device_index, window, match, judged.thresholds)
    return replace(alone, steps=judged.steps, kinds=judged.kinds)


def _whole(trace: Trace) -> Pieces:
    """Every record as a piece of its own."""
    kernels = trace.kernels
    return Pieces(kernels.start_ns, kernels.end_ns, np.arange(len(kernels), dtype=np.int32))


def _timing(trace: Trace, pieces: Pieces, window: Window, work_class: Codes, row: Ids) -> _Timing:
    count = len(trace.kernels)
    span = (window.start_ns, window.end_ns)
    bins = Bins.of(window)
    parts = attributed(pieces.start_ns, pieces.end_ns, pieces.record, work_class, bins.cuts)
    attributed_ns, binned = by_record_and_kind(parts, work_kinds(trace, row), count)
    return _Timing(
        pieces, span, work_class,
        extent(pieces.start_ns, pieces.end_ns, pieces.record, count, span),
        bins, binned, attributed_ns,
    )  # fmt: skip


def work_classes(trace: Trace) -> Codes:
    """Communication by the record's own arguments, its name or its link op; copies by kind."""
    kernels, ops = trace.kernels, trace.ops
    by_name = passes(trace.names, kernels.name, is_communication)
    op_name = np.where(kernels.op >= 0, ops.name[kernels.op], 0) if len(ops) else np.zeros_like(kernels.name)
    by_op = (kernels.op >= 0) & passes(trace.names, op_name, is_communication_op)
    work_class = np.where((kernels.collective >= 0) | by_name | by_op, COMMUNICATION, COMPUTE)
    copies = (kernels.kind == RecordKind.MEMCPY) | (kernels.kind == RecordKind.MEMSET)
    return np.where(copies, COPY, work_class).astype(np.int8)


def _floor_ns(
    trace: Trace, groups: Groups, heads: list[RowHead], match: DeviceMatch, limits: Thresholds
) -> int:
    if trace.on_cpu:
        return cpu_floor_ns(match.launch_floor_ns, limits)
    if match.launch_floor_ns is not None:
        return match.launch_floor_ns
    cost = [min(h.price.bytes, 2**62) if isinstance(h.price, Cost) else -1 for h in heads]
    of_record = np.array(cost, np.int64)[groups.row] if heads else np.zeros(0, np.int64)
    kernels = trace.kernels.kind == RecordKind.KERNEL
    return gpu_floor_ns(trace.kernels.duration_ns[kernels], of_record[kernels], limits)


class _Occupancy(msgspec.Struct, frozen=True, eq=False):
    """Of each row's longest kernel."""

    waves: Floats  # nan: not known
    resident_threads: Ints  # on a multiprocessor; 0: not known


def _occupancy(trace: Trace, index: int, measured: Measured, match: DeviceMatch) -> _Occupancy:
    kernels, record = trace.kernels, np.maximum(measured.longest_record, 0)
    recorded = properties_of(trace.devices, index)
    resident = resident_blocks(
        kernels.threads[record], kernels.registers[record], kernels.shared_bytes[record], recorded
    )
    waves_of_record = waves(kernels.blocks[record], resident, match.device.multiprocessors)
    has_one = measured.longest_record >= 0
    threads = np.where(has_one, resident * kernels.threads[record], 0)
    return _Occupancy(np.where(has_one, waves_of_record, np.nan), threads)


def _traffic(
    heads: Sequence[RowHead], launched: Launches, match: DeviceMatch, threads: Ints
) -> list[Traffic | None]:
    """What each row's calls move, where more than the compulsory bytes is proved, or may be."""
    if match.device.kind == "cpu":
        reads_first, cache_bytes = match.cpu.write_allocate, match.cpu.cache_bytes
        return [cpu_traffic(head.call, head.price, cache_bytes) if reads_first else None for head in heads]
    cache = Cache.of(match.device)
    return [
        traffic(head.price, partial(launched, row), cache, resident)
        for row, (head, resident) in enumerate(zip(heads, threads.tolist(), strict=True))
    ]


def _timeline(trace: Trace, timing: _Timing, verdict: Codes, idle: IdleTimes) -> tuple[StepTimeline, ...]:
    return timeline(timing.bins, timing.binned, verdict, phase_of_records(trace), idle)


def _idle(trace: Trace, busy: tuple[Ints, Ints], window: Window) -> IdleTimes:
    """`busy`: sorted intervals in which any record runs, inside the window or not."""
    start, end = gaps(*busy, (window.start_ns, window.end_ns))
    idle = idle_times(trace, np.arange(len(trace.kernels), dtype=np.int32), start, end)
    return each_in_one_step(idle, window.cuts)


def _time(trace: Trace, timing: _Timing, intervals: tuple[Ints, Ints], idle: IdleTimes) -> TimeInfo:
    """`intervals`: in which any record runs, inside the window or not."""
    pieces, span = timing.pieces, timing.span
    start, end = intervals
    opens, closes = clip(start, end, span)
    busy = int((closes - opens).sum())

    def hidden(work_class: int) -> int:
        return hidden_ns(
            pieces.start_ns,
            pieces.end_ns,
            pieces.record,
            timing.attributed_ns,
            timing.work_class == work_class,
            span,
        )

    return TimeInfo(
        busy_ns=busy,
        idle_ns=span[1] - span[0] - busy,
        kernel_sum_ns=int(timing.extent.duration_ns.sum()),
        outside_window_ns=int((end - start).sum()) - busy,
        hidden_communication_ns=hidden(COMMUNICATION),
        hidden_copy_ns=hidden(COPY),
        idle_by_cause=idle_by_cause(idle, trace.names),
    )
