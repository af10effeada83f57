"""A trace read once more and copied on the way: what is not added to stays byte for byte.

Memory holds a block of text at a time. What the file lacks behind the place where it breaks off is closed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from traceanalyzer.annotate.counters import Track, tracks
from traceanalyzer.annotate.splice import spliced
from traceanalyzer.annotate.texts import CallTexts, counters, instant, is_annotated
from traceanalyzer.records.annotations import Annotations
from traceanalyzer.records.errors import TraceFormatError, UsageError
from traceanalyzer.trace.reading.blocks import Batch
from traceanalyzer.trace.reading.document import Document
from traceanalyzer.trace.reading.events import RowOf
from traceanalyzer.trace.reading.located import GPU_ROWS, OP_ROWS, Located, located
from traceanalyzer.trace.reading.read_stats import ReadStats
from traceanalyzer.trace.reading.source import TextWindow, TraceSource

Write = Callable[[bytes], object]


def copy_annotated(path: str, every: Sequence[Annotations], write: Write) -> None:
    """Write the trace at `path`, annotated, as text. TraceFormatError where it has changed.

    UsageError where it is annotated already: it would have everything twice.
    """
    stats = ReadStats()
    with TraceSource(path) as source:
        document = Document(source, stats)
        window = _CopyingWindow(source, write)
        rows = _Rows(path, every)
        for batch in document.batches(window):
            window.replace(*rows.annotated(window.text, batch))
        if stats.counts.get("truncated"):
            write(b"" if document.bare_list else b"\n}\n")
        else:
            window.copy_rest()
    if rows.seen < rows.expected:
        counts = f"{rows.expected} rows, now {rows.seen}"
        raise TraceFormatError(f"{source.path}: changed while it was read ({counts})",
                               fix="annotate it once it is written")  # fmt: skip


class _CopyingWindow(TextWindow):
    """Writes what it lets go of, or what has been put in its place."""

    def __init__(self, source: TraceSource, write: Write) -> None:
        super().__init__(source)
        self._copied_source, self._write = source, write
        self._new: tuple[list[bytes], int] | None = None
        self._held = b""  # behind the last row that was read: left out where the list breaks off

    def replace(self, parts: list[bytes], until: int) -> None:
        """Write `parts` instead of the text up to `until`, and what is behind it once more follows."""
        self._new = parts, until

    def drop(self, count: int) -> None:
        """Let go of the first `count` bytes."""
        parts, until = self._new or ([self.text[:count]], count)
        self._new = None
        if until:
            self._write(self._held + b"".join(parts))
            self._held = b""
        self._held += self.text[until:count]
        super().drop(count)

    def give_up(self, *, in_list: bool) -> None:
        """Let go of a rest that is no whole value, which is left out."""
        self._held = b""
        if in_list:
            self._write(b"\n]")
        super().give_up(in_list=in_list)

    def copy_rest(self) -> None:
        """Behind the last member."""
        self._write(self._held + self.text)
        while text := self._copied_source.read():
            self._write(text)


class _Rows:
    """Finds each record's row in the file, and makes its new text."""

    def __init__(self, path: str, every: Sequence[Annotations]) -> None:
        self._devices = [_Device(path, each) for each in every]
        self._classes = OP_ROWS if every[0].on_cpu else GPU_ROWS
        self._row_of = RowOf()
        self.expected = 1 + max(int(each.file_row.max(initial=-1)) for each in every)
        self.seen = 0
        self._device = np.full(self.expected, -1, np.int16)
        self._record = np.zeros(self.expected, np.int32)
        for number, each in enumerate(every):
            self._device[each.file_row] = number
            self._record[each.file_row] = np.arange(len(each.file_row), dtype=np.int32)

    def annotated(self, text: bytes, batch: Batch) -> tuple[list[bytes], int]:
        """The new text of a batch, and up to where the old one is in it."""
        parts: list[bytes] = []
        position = 0
        rows = list(located(text, batch, self._classes, self._row_of))
        stretch = slice(self.seen, self.seen + len(rows))
        self.seen += len(rows)
        records = zip(rows, self._device[stretch].tolist(), self._record[stretch].tolist(), strict=False)
        for where, device, record in records:
            if device < 0 or where is None:
                continue
            parts += (text[position : where.begin], *self._devices[device].new(text, where, record))
            position = where.end
        until = _read_until(batch)
        parts.append(text[position:until])
        return parts, until


def _read_until(batch: Batch) -> int:
    """Behind the last row that was read, or behind the list's end."""
    if batch.cut.closed:
        return batch.cut.next
    if batch.pieces is None:
        return batch.cut.end
    return batch.pieces[-1].end if batch.pieces else 0


class _Device:
    """The texts of one device's records."""

    def __init__(self, path: str, annotations: Annotations) -> None:
        self._path = path
        costs = annotations.costs
        self._label = annotations.label
        self._texts = [CallTexts(call) for call in costs.calls]
        self._call = costs.call
        self._carries, self._call_ns, self._outer = costs.carries, costs.call_ns, costs.outer
        self._tracks: tuple[Track, Track] = tracks(annotations)
        self._pid = ""  # of the tracks: of the first row that is met
        self._marks = {mark.record: [m for m in annotations.marks if m.record == mark.record]
                       for mark in annotations.marks}  # fmt: skip
        self._begins_ns = annotations.begins_ns

    def new(self, text: bytes, where: Located, record: int) -> list[bytes]:
        """The row with its annotation, and behind it the events that belong to it."""
        row = text[where.begin : where.end]
        parts = [row if self._outer[record] else self._annotated(row, where, record)]
        pid = json.dumps(where.event.pid)
        self._pid = self._pid or pid
        parts += [counters(track, record, self._label, self._pid) for track in self._tracks]
        for mark in self._marks.get(record, ()):
            tid = json.dumps(where.event.tid)
            parts.append(instant(mark.suggestion, int(self._begins_ns[record]), pid, tid))
        return parts

    def _annotated(self, row: bytes, where: Located, record: int) -> bytes:
        if is_annotated(row):
            raise UsageError(f"{self._path}: is an annotated trace already",
                             fix="annotate the trace that it was made of")  # fmt: skip
        texts = self._texts[self._call[record]]
        carries = self._carries[record]
        member = texts.of_call(int(self._call_ns[record])) if carries else texts.other
        return spliced(row, where, member, texts.color) or row
