"""Text in, batches of events out: cuts the list of events at the borders between them.

A cut is guessed from the text and proved by decoding: the beginning of a valid JSON list is itself
valid, once closed, exactly where it is cut between two of its items. Where decoding fails, `repair`
looks at the rows one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from traceanalyzer.trace.reading.events import UNDECODABLE, Event, decode_batch
from traceanalyzer.trace.reading.read_stats import ReadStats
from traceanalyzer.trace.reading.repair import Piece, decode_rows
from traceanalyzer.trace.reading.scan import BORDER, CLOSING
from traceanalyzer.trace.reading.source import BLOCK, TextWindow

_EMPTY = re.compile(rb"\s*\]")
_SEARCHED = 1 << 14  # bytes at a block's end in which a border is looked for first
_LARGEST = 1 << 26  # bytes without a border between rows: this is no list of events
_CLOSINGS_TRIED = 8


class Cut(NamedTuple):
    """`text[:end]` are whole events, the rest starts at `next`; closed: the list ends there."""

    end: int
    next: int
    closed: bool


class Batch(NamedTuple):
    """Events, and where they stand in the window until the next batch is asked for."""

    events: list[Event]
    cut: Cut
    pieces: list[Piece] | None = None  # of events read one by one; None: up to `cut.end` all is valid JSON


def event_batches(window: TextWindow, stats: ReadStats) -> Iterator[Batch]:
    """Events from behind the list's `[`; leaves the window behind its `]`, or at the end of the text.

    A list that is never closed is noted in `stats` as truncated.
    """
    wanted = BLOCK
    while True:
        window.grow(wanted)
        patient = not window.ended and len(window.text) < _LARGEST
        cut = _guess(window)
        if cut is None and patient:
            wanted = 2 * len(window.text)
            continue
        batch = _decode(window, cut, stats)
        cut = batch.cut
        if patient and not (cut.next or cut.closed):
            wanted = 2 * len(window.text)
            continue
        stats.events += len(batch.events)
        yield batch
        window.drop(cut.next)
        if cut.closed:
            return
        if cut.next == 0 or (window.ended and not window.text):
            _give_up(window, stats)
            return
        wanted = BLOCK


def _give_up(window: TextWindow, stats: ReadStats) -> None:
    """At the end of a text that breaks off, or in front of what holds no row for as far as we look."""
    stats.cut_off(window.start + len(window.text))
    if window.text.strip():
        stats.lose(window.start)
    window.give_up(in_list=True)


def _guess(window: TextWindow) -> Cut | None:
    text = window.text
    empty = _EMPTY.match(text)
    if empty:
        return Cut(0, empty.end(), True)
    if window.ended:
        closing = CLOSING.search(text)
        if closing:
            return Cut(closing.start() + 1, closing.end(), True)
    for begin in (max(len(text) - _SEARCHED, 0), 0):
        borders = [(border.start() + 1, border.end()) for border in BORDER.finditer(text, begin)]
        if borders:
            return Cut(*borders[-1], False)
    return None


def _decode(window: TextWindow, cut: Cut | None, stats: ReadStats) -> Batch:
    text = window.text
    if cut is not None:
        try:
            return Batch(decode_batch(b"".join((b"[", memoryview(text)[: cut.end], b"]"))), cut)
        except UNDECODABLE:
            pass
    for closing, _ in zip(CLOSING.finditer(text), range(_CLOSINGS_TRIED), strict=False):
        end = closing.start() + 1
        if cut is not None and end == cut.end:
            continue
        try:
            return Batch(decode_batch(b"[" + text[:end] + b"]"), Cut(end, closing.end(), True))
        except UNDECODABLE:
            continue
    rows = decode_rows(text, whole=window.ended, at=window.start, stats=stats)
    return Batch(rows.events, Cut(rows.consumed, rows.consumed, rows.closed), rows.pieces)
