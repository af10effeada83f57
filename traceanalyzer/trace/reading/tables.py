"""The finished tables of a file: its dialect, rows sorted out by name, calls made distinct."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.records.collectives import CollectiveArgs
from traceanalyzer.records.trace import Ids
from traceanalyzer.trace.reading.calls import CallKey, Calls, compact, has_empty_part
from traceanalyzer.trace.reading.collectives import args_of
from traceanalyzer.trace.reading.column_builder import Array, Columns
from traceanalyzer.trace.reading.events import ANNOTATION_NAMES, UNREADABLE_NAME
from traceanalyzer.trace.reading.flows import by_external_id
from traceanalyzer.trace.reading.raw import (
    RawFrames,
    RawKernels,
    RawLaunches,
    RawMemory,
    RawOps,
    RawSpans,
    RawSyncs,
)
from traceanalyzer.trace.reading.read_stats import ReadStats
from traceanalyzer.trace.reading.rows import Rows

_EPOCH_US = 1e15  # a microsecond count this large starts in 1970; relative ones stay below 7.9e12

_APART_NS = 10**15  # over 11 days
_FEW_APART = 0.01  # of the rows

_HOST: dict[str, type] = {
    "start_ns": np.int64, "end_ns": np.int64, "name": np.int32, "thread": np.int32, "external": np.int64,
}  # fmt: skip
_OPS = _HOST | {
    "annotation": np.bool_, "call": np.int32, "module": np.int32, "sequence": np.int64,
    "forward_thread": np.int64, "file_row": np.int32,
}  # fmt: skip
_MEMORY: dict[str, type] = {
    "start_ns": np.int64, "thread": np.int32, "address": np.int64, "size": np.int64,
    "device": np.int32, "allocated": np.int64, "reserved": np.int64,
}  # fmt: skip
_SPANS: dict[str, type] = {
    "start_ns": np.int64, "end_ns": np.int64, "name": np.int32, "thread": np.int32, "profiler": np.bool_,
}  # fmt: skip
_SYNCS: dict[str, type] = {
    "start_ns": np.int64, "end_ns": np.int64, "name": np.int32, "device": np.int32, "stream": np.int64,
    "correlation": np.int64, "waits_for_stream": np.int64, "waits_for_correlation": np.int64,
}  # fmt: skip
_FRAMES = {name: dtype for name, dtype in _SPANS.items() if name != "profiler"}
_LAUNCHES = _HOST | {"correlation": np.int64, "kernel": np.int32}
_KERNELS: dict[str, type] = {
    "start_ns": np.int64, "end_ns": np.int64, "name": np.int32, "kind": np.int8, "device": np.int32,
    "stream": np.int64, "correlation": np.int64, "external": np.int64, "blocks": np.int64,
    "threads": np.int32, "geometry": np.int64, "registers": np.int32, "shared_bytes": np.int64,
    "copied_bytes": np.int64, "collective": np.int32, "counted_bytes": np.int64,
    "pid": np.int32, "file_row": np.int32,
}  # fmt: skip


class Tables(msgspec.Struct, frozen=True, eq=False):
    """What `Raw` takes from the rows."""

    dialect: str
    integer_us: bool
    names: list[str]
    calls: Calls
    ops: RawOps
    launches: RawLaunches
    kernels: RawKernels
    memory: RawMemory
    spans: RawSpans
    syncs: RawSyncs
    frames: RawFrames
    pids: list[int | str]
    thread_pid: Ids
    collectives: list[CollectiveArgs]
    hip: bool  # a call of AMD's runtime is among the launches


def finish(rows: Rows, stats: ReadStats, *, based: bool) -> Tables:
    """Empty `rows` into tables; `based`: the file has baseTimeNanoseconds."""
    builders = (rows.ops, rows.launches, rows.kernels)
    for builder in (*builders, rows.memory, rows.spans, rows.syncs, rows.frames):
        builder.pack()
    whole_us = all(builder.whole_us for builder in builders)
    dialect = _dialect(rows, whole_us=whole_us, based=based)
    names: list[str] = rows.names.values_seen
    memory = RawMemory(**{name: rows.memory.take(name, dtype) for name, dtype in _MEMORY.items()})
    tables = _of_one_recording([
        _columns(rows.launches, _LAUNCHES, dialect, stats), _columns(rows.kernels, _KERNELS, dialect, stats),
        _columns(rows.ops, _OPS, dialect, stats), _columns(rows.spans, _SPANS, dialect, stats),
        _columns(rows.syncs, _SYNCS, dialect, stats),
        _columns(rows.frames, _FRAMES, dialect, stats),
    ], stats)  # fmt: skip
    launches, kernels = by_external_id(RawLaunches(**tables[0]), RawKernels(**tables[1]))
    launches, kernels = rows.flows.tied(launches, kernels, rows.thread_of, rows.stream_of)
    ops = _with_named_annotations(RawOps(**tables[2]), names)
    ops, keys = _distinct_calls(ops, rows.calls.values_seen, merge=stats.lenient > 0)
    integer_us = whole_us and not based
    _count_oddities(ops, kernels, names, integer_us=integer_us, stats=stats)
    stats.add("uncategorised_rows", rows.bare)
    called = np.unique(launches.name).tolist()
    pid_of = [rows.pids[pid] for pid, _ in rows.threads.values_seen]
    return Tables(
        dialect, integer_us, names, Calls(names, keys), ops, launches, kernels, memory, RawSpans(**tables[3]),
        RawSyncs(**tables[4]), RawFrames(**tables[5]), rows.pids.values_seen, np.array(pid_of, np.int32),
        [args_of(key) for key in rows.collectives.values_seen],
        hip=any(names[name].startswith("hip") for name in called),
    )  # fmt: skip


def _dialect(rows: Rows, *, whole_us: bool, based: bool) -> str:
    if based:
        return "nanosecond"
    if rows.row_of.capitalized:
        return "integer_us_capitalised"
    if whole_us:
        return "integer_us"
    latest = max(builder.latest_us for builder in (rows.ops, rows.launches, rows.kernels))
    return "float_epoch" if latest > _EPOCH_US else "nanosecond"


def _columns(builder: Columns, dtypes: Mapping[str, type], dialect: str, stats: ReadStats) -> dict[str, Any]:
    columns: dict[str, Array] = {name: builder.take(name, dtype) for name, dtype in dtypes.items()}
    if dialect == "nanosecond":
        # Kineto sets a time in front of its base to 0: of such a row neither place nor length is known.
        clamped = (columns["start_ns"] == 0) & (columns["end_ns"] == 0)
        if clamped.any():
            stats.add("clamped_rows", np.count_nonzero(clamped))
            columns = {name: values[~clamped] for name, values in columns.items()}
    return columns


def _of_one_recording(tables: list[dict[str, Any]], stats: ReadStats) -> list[dict[str, Any]]:
    """Without the few rows that lie days apart from all others: what is measured to them is no recording."""
    starts = np.concatenate([columns["start_ns"] for columns in tables])
    if not len(starts) or int(starts.max()) - int(starts.min()) <= _APART_NS:
        return tables
    middle = int(np.median(starts))
    near = [np.abs(columns["start_ns"] - middle) <= _APART_NS for columns in tables]
    far = sum(int(np.count_nonzero(~each)) for each in near)
    if far > _FEW_APART * len(starts):
        return tables
    stats.add("impossible_times", far)
    return [
        {name: values[kept] for name, values in columns.items()}
        for columns, kept in zip(tables, near, strict=True)
    ]


def _with_named_annotations(ops: RawOps, names: list[str]) -> RawOps:
    """Up to torch 1.10 the profiler's own scopes carry the category of an operator."""
    scope = np.array([bool(ANNOTATION_NAMES.match(name)) for name in names], bool)
    if not scope.any():
        return ops
    annotation = ops.annotation | scope[ops.name]
    return replace(ops, annotation=annotation, call=np.where(annotation, np.int32(-1), ops.call))


def _distinct_calls(ops: RawOps, keys: list[CallKey], *, merge: bool) -> tuple[RawOps, list[CallKey]]:
    """Without calls that no row makes; `merge`: some rows were rewritten, so that spellings differ."""
    used = np.bincount(ops.call[ops.call >= 0], minlength=len(keys)) > 0
    merge = merge or any(has_empty_part(text) for _, text in keys)
    if used.all() and not merge:
        return ops, keys
    places: dict[CallKey, int] = {}
    new_rows = np.full(len(keys) + 1, -1, np.int32)  # the last one is where -1 points
    for row in np.flatnonzero(used).tolist():
        name, text = keys[row]
        key = (name, compact(text)) if merge else (name, text)
        new_rows[row] = places.setdefault(key, len(places))
    return replace(ops, call=new_rows[ops.call]), list(places)


def _count_oddities(
    ops: RawOps, kernels: RawKernels, names: list[str], *, integer_us: bool, stats: ReadStats
) -> None:
    if UNREADABLE_NAME in names:
        stats.add("unnamed_ops", np.count_nonzero(ops.name == names.index(UNREADABLE_NAME)))
    if integer_us:
        stats.add("quantised_time", np.count_nonzero(kernels.start_ns == kernels.end_ns))
