"""Errors for input that is no PyTorch profiler trace: one line each, with what to give instead."""

from __future__ import annotations

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.document import Document
from traceanalyzer.trace.reading.foreign import GIVE
from traceanalyzer.trace.reading.metadata import EVENTS_KEY, FOREIGN_KEYS
from traceanalyzer.trace.reading.read_stats import ROW_LOSSES
from traceanalyzer.trace.reading.tables import Tables

_RECORD = "record at least one step, with activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]"


def refuse_unless_trace(document: Document, tables: Tables) -> None:
    """Raise TraceFormatError unless the document holds operators or GPU rows of a PyTorch trace."""
    path, read, stats = document.source.path, document.source.total, document.stats
    if not document.has_events:
        raise _without_events(document)
    if not stats.events:
        where = f"0 complete events in {read:,} bytes of text"
        if document.bare_list:
            raise TraceFormatError(f"{path}: is a JSON list without trace events ({where})", fix=GIVE)
        raise TraceFormatError(f"{path}: holds no events ({where})", fix=_RECORD)
    if len(tables.kernels.name) or not tables.ops.annotation.all():
        return
    read_nothing = not (len(tables.launches.name) or len(tables.ops.name))
    if document.tool or (read_nothing and not stats.counts.keys() & ROW_LOSSES):
        whose = f"a trace {document.tool}" if document.tool else "a trace of another tool"
        raise TraceFormatError(
            f"{path}: is {whose}, not of the PyTorch profiler "
            f"(none of {stats.events:,} events is an operator, a launch or GPU work)",
            fix=GIVE,
        )
    raise TraceFormatError(
        f"{path}: has no operators and no GPU work (among {stats.events:,} events)", fix=_RECORD
    )


def _without_events(document: Document) -> TraceFormatError:
    path = document.source.path
    for key, what in FOREIGN_KEYS.items():
        if key in document.keys:
            return TraceFormatError(f'{path}: {what} (top-level key "{key}")', fix=GIVE)
    if document.json_lines:
        return _of_lines(document)
    if document.stats.counts:
        return TraceFormatError(
            f"{path}: is not JSON, or ends before its {EVENTS_KEY} (at byte {document.source.total})",
            fix=GIVE,
        )
    keys = ", ".join(ascii(key[:40]).strip("'") for key in sorted(document.keys)[:5]) or "none"
    return TraceFormatError(f"{path}: is JSON, but has no {EVENTS_KEY} (top-level keys: {keys})", fix=GIVE)


def _of_lines(document: Document) -> TraceFormatError:
    path, of_events = document.source.path, {"ph", "ts"} <= document.keys
    fix = f"join them, if they are a trace's: `jq -s . {path} > trace.json`" if of_events else GIVE
    return TraceFormatError(
        f"{path}: is JSON lines, an object a line, not one trace (no {EVENTS_KEY})", fix=fix
    )
