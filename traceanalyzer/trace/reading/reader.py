"""`read`: one trace file, plain or gzipped, whole or damaged, as the columns of a `Raw`.

The text is decoded block by block; only columns, distinct names and distinct calls stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from traceanalyzer.trace.reading import metadata
from traceanalyzer.trace.reading.document import Document
from traceanalyzer.trace.reading.events import clean
from traceanalyzer.trace.reading.input_errors import refuse_unless_trace
from traceanalyzer.trace.reading.raw import Raw
from traceanalyzer.trace.reading.read_stats import ReadStats
from traceanalyzer.trace.reading.rows import Rows
from traceanalyzer.trace.reading.source import TraceSource
from traceanalyzer.trace.reading.tables import finish

__all__ = ["read"]


def read(path: str, *, progress: Callable[[int], None] | None = None) -> Raw:
    """Read the trace at `path` ("-": standard input; a URL with the `remote` extra).

    `progress` is called with the number of bytes of the file (compressed, where it is) read so far.
    Raises TraceFormatError for whatever is no PyTorch profiler trace; what is damaged but holds
    complete rows is read as far as it goes, with `salvaged` and `warnings` saying how far.
    """
    stats = ReadStats()
    rows = Rows(stats)
    with TraceSource(path, progress) as source:
        document = Document(source, stats)
        for events, _, _ in document.batches():
            rows.add(events)
            events.clear()
        if source.damage == "corrupt_gzip":
            stats.add("corrupt_gzip")
            stats.lose(source.total, 0)
    return _raw(document, rows)


def _raw(document: Document, rows: Rows) -> Raw:
    stats, kept, path = document.stats, document.kept, document.source.path
    base = metadata.base_ns(kept.get("baseTimeNanoseconds"))
    listed = metadata.devices(kept.get("deviceProperties"))
    tables = finish(rows, stats, based=base is not None)
    refuse_unless_trace(document, tables)
    recording = metadata.recording(kept.get("traceanalyze"), stats)
    return Raw(
        path=clean(path),
        bytes=document.source.total,
        events=stats.events + stats.dropped,
        dialect=tables.dialect,
        integer_us=tables.integer_us,
        names=tables.names,
        calls=tables.calls,
        ops=tables.ops,
        launches=tables.launches,
        kernels=tables.kernels,
        memory=tables.memory,
        spans=tables.spans,
        syncs=tables.syncs,
        frames=tables.frames,
        devices=listed,
        rank=metadata.rank(kept.get("distributedInfo"), path),
        base_ns=base or 0,
        amd=tables.hip or metadata.is_amd(frozenset(document.keys), listed),
        inclusive=rows.bare_ranges > 0,
        gpu_listed=bool(listed),
        recording=recording,
        evidence=document.evidence,
        salvaged=stats.salvaged(),
        warnings=stats.warnings(),
        unread=dict(rows.unread),
        collectives=tables.collectives,
        distributed=metadata.distributed(kept.get("distributedInfo")),
        pids=tables.pids,
        thread_pid=tables.thread_pid,
    )
