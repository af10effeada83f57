"""One device's trace and window, owned and held against its roofs, as the finished Analysis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np

from traceanalyzer.assembly import totals
from traceanalyzer.assembly.provenance import coverage, kernel_columns, source, window_info
from traceanalyzer.assembly.self_check import explained, formulas, self_check
from traceanalyzer.cost.kernel_names import is_communication, is_communication_op
from traceanalyzer.cost.price import Ownership
from traceanalyzer.device.match import Match
from traceanalyzer.device.resolve import properties_of
from traceanalyzer.records import SCHEMA_VERSION, Analysis, Cost, TimeInfo, Tool
from traceanalyzer.records.trace import Bools, Codes, Ids, Ints, Pieces, RecordKind, Trace, Window
from traceanalyzer.roofline.attribution import Extent, attribute, clip, extent, hidden_ns, union_ns
from traceanalyzer.roofline.floor import cpu_floor_ns, gpu_floor_ns
from traceanalyzer.roofline.idle import gaps, idle_by_cause
from traceanalyzer.roofline.invocations import COMMUNICATION, COMPUTE, COPY, Groups, group
from traceanalyzer.roofline.measure import Measured, kernel_times, measure
from traceanalyzer.roofline.occupancy import Floats, resident_blocks, waves
from traceanalyzer.roofline.row_keys import RowHead, copied, row_heads
from traceanalyzer.roofline.rows import in_order, names_of_rows, op_rows, row_facts
from traceanalyzer.roofline.thresholds import Thresholds
from traceanalyzer.roofline.verdicts import Roofs, judge

_WHOLE_MICROSECONDS = ("integer_us", "integer_us_capitalised")  # dialects


@dataclass(frozen=True, slots=True, eq=False)
class _Timing:
    """Every record against the window."""

    pieces: Pieces
    span: tuple[int, int]
    rank: Codes  # COMPUTE, COMMUNICATION, COPY
    extent: Extent
    attributed_ns: Ints


def assemble(
    trace: Trace, index: int, window: Window, ownership: Ownership, match: Match, limits: Thresholds
) -> Analysis:
    """Judge every row of device `index` and add up the parts. `trace` holds that device's records only."""
    timing = _timing(trace, window)
    groups = group(trace, ownership, timing.rank)
    heads = row_heads(trace, ownership, groups, timing.rank, timing.extent.inside)
    heads = copied(trace, groups, heads, timing.extent.inside)
    measured = measure(trace, groups, ownership.overhead, timing.extent, timing.attributed_ns)
    names = names_of_rows(
        trace, len(heads), kernel_times(trace, groups, timing.extent.duration_ns, timing.extent.inside)
    )
    recording = trace.recording
    roofs = Roofs.of(
        match.device, _floor_ns(trace, groups, heads, match, limits), limits,
        recording.tf32 if recording else None,
    )  # fmt: skip
    of_rows = _row_waves(trace, index, measured, match)
    verdicts = [judge(facts, roofs) for facts in row_facts(trace, heads, measured, of_rows, names)]
    table = op_rows(heads, measured, verdicts, names)
    time = _time(trace, timing)
    coarse = trace.dialect in _WHOLE_MICROSECONDS
    shown = (row for row, calls in zip(table, measured.calls, strict=True) if calls)
    rows = in_order(explained(list(shown), match.device, whole_microseconds=coarse))
    limits_shown = limits.as_dict() | {"launch_floor_ns": float(roofs.floor_ns)}
    return Analysis(
        schema_version=SCHEMA_VERSION,
        tool=Tool("traceanalyze", version("torch-traceanalyzer")),
        source=source(trace, index, match, measured, time),
        recording=recording,
        device=match.device,
        thresholds=limits_shown,
        window=window_info(window),
        time=time,
        verdicts=totals.verdict_parts(rows, time.busy_ns, time.busy_ns + time.idle_ns),
        memory_bound=totals.memory_bound(rows, time.busy_ns, time.busy_ns + time.idle_ns),
        compute=totals.compute(rows, match.device, time.busy_ns + time.idle_ns),
        coverage=coverage(trace, ownership, groups, timing.extent.duration_ns, table, rows),
        operator_classes=totals.class_parts(rows, time.busy_ns),
        op_rows=rows,
        suggestions=None,
        ranks=None,
        what_if=None,
        self_check=self_check(rows, match.device, time.busy_ns, whole_microseconds=coarse),
        formulas=formulas(rows),
    ).with_kernels(partial(kernel_columns, trace, groups, timing.extent, timing.attributed_ns, table))


def _timing(trace: Trace, window: Window) -> _Timing:
    kernels = trace.kernels
    count = len(kernels)
    whole = Pieces(kernels.start_ns, kernels.end_ns, np.arange(count, dtype=np.int32))
    pieces = trace.pieces or whole
    span = (window.start_ns, window.end_ns)
    rank = _rank(trace)
    return _Timing(
        pieces, span, rank,
        extent(pieces.start_ns, pieces.end_ns, pieces.record, count, span),
        attribute(pieces.start_ns, pieces.end_ns, pieces.record, rank, count, span),
    )  # fmt: skip


def _rank(trace: Trace) -> Codes:
    """Communication by the record's own arguments, its name or its link op; copies by kind."""
    kernels, ops = trace.kernels, trace.ops
    by_name = _passes(trace.names, kernels.name, is_communication)
    op_name = np.where(kernels.op >= 0, ops.name[kernels.op], 0) if len(ops) else np.zeros_like(kernels.name)
    by_op = (kernels.op >= 0) & _passes(trace.names, op_name, is_communication_op)
    rank = np.where(kernels.collective | by_name | by_op, COMMUNICATION, COMPUTE)
    copies = (kernels.kind == RecordKind.MEMCPY) | (kernels.kind == RecordKind.MEMSET)
    return np.where(copies, COPY, rank).astype(np.int8)


def _passes(names: Sequence[str], column: Ids, test: Callable[[str], bool]) -> Bools:
    """Whether each entry's name passes; every distinct name is looked at once."""
    distinct, back = np.unique(column, return_inverse=True)
    passed: Bools = np.array([bool(test(names[i])) for i in distinct.tolist()], bool)[back]
    return passed


def _floor_ns(trace: Trace, groups: Groups, heads: list[RowHead], match: Match, limits: Thresholds) -> int:
    if trace.on_cpu:
        return cpu_floor_ns(match.launch_floor_ns, limits)
    if match.launch_floor_ns is not None:
        return match.launch_floor_ns
    cost = [h.price.bytes if isinstance(h.price, Cost) else -1 for h in heads]
    of_record = np.array(cost, np.int64)[groups.row] if heads else np.zeros(0, np.int64)
    kernels = trace.kernels.kind == RecordKind.KERNEL
    return gpu_floor_ns(trace.kernels.duration_ns[kernels], of_record[kernels], limits)


def _row_waves(trace: Trace, index: int, measured: Measured, match: Match) -> Floats:
    """Waves of each row's longest kernel; nan where not known."""
    kernels, record = trace.kernels, np.maximum(measured.longest_record, 0)
    recorded = properties_of(trace.devices, index)
    resident = resident_blocks(
        kernels.threads[record], kernels.registers[record], kernels.shared_bytes[record], recorded
    )
    found = waves(kernels.blocks[record], resident, match.device.multiprocessors)
    return np.where(measured.longest_record >= 0, found, np.nan)


def _time(trace: Trace, timing: _Timing) -> TimeInfo:
    pieces, span = timing.pieces, timing.span
    start, end = clip(pieces.start_ns, pieces.end_ns, span)
    busy = union_ns(start, end)
    gap_start, gap_end = gaps(start, end, span)
    members = np.arange(len(trace.kernels), dtype=np.int32)

    def hidden(rank: int) -> int:
        return hidden_ns(
            pieces.start_ns, pieces.end_ns, pieces.record, timing.attributed_ns, timing.rank == rank, span
        )

    return TimeInfo(
        busy_ns=busy,
        idle_ns=span[1] - span[0] - busy,
        kernel_sum_ns=int(timing.extent.duration_ns.sum()),
        outside_window_ns=union_ns(pieces.start_ns, pieces.end_ns) - busy,
        hidden_communication_ns=hidden(COMMUNICATION),
        hidden_copy_ns=hidden(COPY),
        idle_by_cause=idle_by_cause(trace, members, gap_start, gap_end),
    )
