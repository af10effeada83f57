"""Linking: the rows of one file (`Raw`) in, the linked columns (`Trace`) out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import structs
from msgspec.structs import replace

from traceanalyzer.records import Notice
from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.records.trace import (
    Ids,
    Launches,
    Memory,
    OpKind,
    Ops,
    Pieces,
    Spans,
    Syncs,
    Trace,
    nearest,
)
from traceanalyzer.trace.linking.counted import placed
from traceanalyzer.trace.linking.cpu_records import host_records
from traceanalyzer.trace.linking.doubtful_times import believed, without_late_launches
from traceanalyzer.trace.linking.frames import at_ops, frames_of
from traceanalyzer.trace.linking.inclusive_ranges import without_inner
from traceanalyzer.trace.linking.kinds import kinds
from traceanalyzer.trace.linking.link import launches_of, link, linked_kernels, sorted_launches
from traceanalyzer.trace.linking.link_warnings import link_warnings
from traceanalyzer.trace.linking.phases import Host, forward_ops, phases
from traceanalyzer.trace.linking.steps import step_warnings, steps_of
from traceanalyzer.trace.linking.tree import is_in_order, nest, order
from traceanalyzer.trace.linking.unrecorded import unrecorded
from traceanalyzer.trace.reading.raw import (
    NO_RAW_LAUNCHES,
    NO_RAW_OPS,
    Raw,
    RawOps,
    RawSpans,
    RawSyncs,
    at_rows,
)

_RESOLUTION_NS = 1000  # of clocks that count whole microseconds, or doubles since 1970
_COARSE = ("integer_us", "integer_us_capitalised", "float_epoch")


def trace_of(raw: Raw, steps_by: str | None = None) -> Trace:
    """Nest the ops, link the records to them, find phases and steps.

    Without GPU activity the self times of operators are the records. Raises TraceFormatError where there
    are no operators either.
    """
    tolerance_ns = _RESOLUTION_NS if raw.integer_us or raw.dialect in _COARSE else 0
    raw = _with_threads_by_time(raw)
    columns = structs.asdict(raw.ops)
    raw = replace(raw, ops=NO_RAW_OPS)  # nothing else holds the columns
    raw = replace(raw, ops=_in_order(columns))
    del columns
    ops = _ops(raw, tolerance_ns)
    steps = steps_of(raw.path, raw.names, raw.ops, steps_by)
    launches = sorted_launches(raw.launches)
    external, file_row = raw.ops.external, raw.ops.file_row
    raw = replace(raw, ops=NO_RAW_OPS, launches=NO_RAW_LAUNCHES)  # of the rest all is in `ops` and `launches`
    on_cpu = not len(raw.kernels.start_ns)
    pieces: Pieces | None = None
    doubts: tuple[Notice, ...] = ()
    if on_cpu:
        del external
        kernels, pieces = host_records(raw.names, ops, file_row)
        if not len(kernels):
            raise TraceFormatError(
                f"{raw.path}: holds neither operators nor GPU activity",
                fix="profile with ProfilerActivity.CPU and that of the accelerator, around the work itself",
            )
    else:
        records, counted = placed(raw.names, raw.kernels, launches)
        links = link(raw.names, ops, external, launches, records, tolerance_ns)
        del external, file_row
        kernels = linked_kernels(raw.names, records, ops, launches, links)
        if raw.inclusive:
            kernels, pieces = without_inner(raw.names, kernels, tolerance_ns)
        else:
            kernels, doubts = believed(raw.names, kernels)
        doubts += counted
        steps = () if any(notice.code == "counters_without_times" for notice in counted) else steps
    trace = Trace(
        path=raw.path, bytes=raw.bytes, events=raw.events, dialect=raw.dialect, names=raw.names,
        calls=raw.calls, ops=ops, launches=launches, kernels=kernels, pieces=pieces, steps=steps,
        devices=raw.devices, rank=raw.rank, on_cpu=on_cpu, base_ns=raw.base_ns, amd=raw.amd,
        recording=raw.recording, memory=_memory(raw), spans=_spans(raw.spans),
        frames=at_ops(frames_of(raw.names, raw.frames, tolerance_ns), ops),
        syncs=_syncs(raw.syncs, launches), evidence=raw.evidence, collectives=raw.collectives,
        distributed=raw.distributed, salvaged=raw.salvaged,
        warnings=raw.warnings,
    )  # fmt: skip
    trace = replace(trace, device_lost=on_cpu and bool(unrecorded(trace, raw.unread)))
    linked = link_warnings(trace, gpu_listed=raw.gpu_listed, unread=raw.unread)
    warnings = (*raw.warnings, *doubts, *linked, *step_warnings(steps))
    return without_late_launches(replace(trace, warnings=warnings))


def _memory(raw: Raw) -> Memory | None:
    order = np.argsort(raw.memory.start_ns, kind="stable")
    memory = raw.memory
    if not len(order):
        return None
    return Memory(
        memory.start_ns[order], memory.thread[order], memory.address[order], memory.size[order],
        memory.device[order], memory.allocated[order], memory.reserved[order],
    )  # fmt: skip


def _spans(raw: RawSpans) -> Spans:
    rows = order(raw.thread, raw.start_ns, raw.end_ns)
    return Spans(*(getattr(raw, name)[rows] for name in Spans.__struct_fields__))


def _syncs(raw: RawSyncs, launches: Launches) -> Syncs:
    rows = np.argsort(raw.start_ns, kind="stable")
    columns = {name: getattr(raw, name)[rows] for name in RawSyncs.__struct_fields__}
    return Syncs(**columns, launch=launches_of(launches, columns["correlation"], columns["start_ns"]))


def _with_threads_by_time(raw: Raw) -> Raw:
    """Threads numbered by their first row."""
    tables = (raw.ops, raw.launches)
    last = max(int(table.thread.max(initial=-1)) for table in (*tables, raw.memory, raw.spans, raw.frames))
    first = np.full(last + 1, np.iinfo(np.int64).max)
    for table in tables:
        np.minimum.at(first, table.thread, table.start_ns)
    number = np.empty(len(first), np.int32)
    number[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return replace(
        raw, ops=replace(raw.ops, thread=number[raw.ops.thread]),
        launches=replace(raw.launches, thread=number[raw.launches.thread]),
        memory=replace(raw.memory, thread=number[raw.memory.thread]),
        spans=replace(raw.spans, thread=number[raw.spans.thread]),
        frames=replace(raw.frames, thread=number[raw.frames.thread]),
    )  # fmt: skip


def _in_order(columns: dict[str, npt.NDArray[Any]]) -> RawOps:
    """Ops in `order`; each column in the file's order is let go of as soon as it is in the new one."""
    times = columns["thread"], columns["start_ns"], columns["end_ns"]
    if is_in_order(*times):
        return RawOps(**columns)
    rows = order(*times)
    del times
    return RawOps(**{name: at_rows(columns.pop(name), rows) for name in RawOps.__struct_fields__})


def _ops(raw: Raw, tolerance_ns: int) -> Ops:
    """The finished table of ops that are in order."""
    rows = raw.ops
    nesting = nest(rows.thread, rows.start_ns, rows.end_ns, rows.annotation, tolerance_ns)
    kind_of_op = kinds(raw.names, rows.name, rows.annotation)
    numbered = (rows.sequence >= 0) & (rows.forward_thread <= 0)
    numbered &= (kind_of_op == OpKind.OP) | (kind_of_op == OpKind.COMPILED)
    host = Host(
        raw.names, rows.start_ns, rows.name, kind_of_op, rows.thread, nesting.parent, rows.sequence, numbered
    )
    forward = forward_ops(host)
    return Ops(
        start_ns=rows.start_ns, end_ns=nesting.end_ns, name=rows.name, kind=kind_of_op, thread=rows.thread,
        parent=nesting.parent, call=rows.call, phase=phases(host, forward),
        module=_modules(rows.module, nesting.parent, forward), forward=forward,
    )  # fmt: skip


def _modules(module: Ids, parent: Ids, forward: Ids) -> Ids:
    """Dotted module names, inherited by the ops inside; a backward node has its forward op's."""
    if not (module >= 0).any():
        return np.broadcast_to(np.int32(-1), len(module))  # one number, whatever the length
    module = _inherited(module, parent)
    unnamed = (module < 0) & (forward >= 0)
    module[unnamed] = module[forward[unnamed]]
    return _inherited(module, parent)


def _inherited(value: Ids, parent: Ids) -> Ids:
    return np.append(value, np.int32(-1))[nearest(parent, value >= 0)]
