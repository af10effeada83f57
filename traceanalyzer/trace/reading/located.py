"""Where rows stand: among the events of a batch, in the order `Rows` numbers them in, and in its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from traceanalyzer.trace.reading.blocks import Batch
from traceanalyzer.trace.reading.events import UNDECODABLE, Event, Row, RowOf, adopt_bare, adopt_mtia

GPU_ROWS = frozenset({Row.KERNEL, Row.MEMCPY, Row.MEMSET, Row.RANGE})  # that RawKernels.file_row counts
OP_ROWS = frozenset({Row.OP, Row.ANNOTATION})  # that RawOps.file_row counts
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Located(NamedTuple):
    """One row and its text: `text[begin:end]` of the window, braces included."""

    event: Event
    begin: int
    end: int
    valid: bool  # the text is valid JSON


def located(
    text: bytes, batch: Batch, classes: frozenset[Row], row_of: RowOf
) -> Iterator[Located | None]:  # fmt: skip
    """Each row of these classes; None where only some repair tells where it begins and ends."""
    of_class = [_is_of(event, classes, row_of) for event in batch.events]
    if not any(of_class):
        return
    places = _places(text, batch)
    for event, wanted, extent in zip(batch.events, of_class, places, strict=True):
        if wanted:
            yield Located(event, *extent) if extent else None


def _is_of(event: Event, classes: frozenset[Row], row_of: RowOf) -> bool:
    if event.ph != "X":
        return False
    row = row_of[event.cat]
    if row == Row.BARE:
        row = adopt_bare(msgspec.structs.replace(event))
    elif row == Row.MTIA:
        row = adopt_mtia(msgspec.structs.replace(event))
    return row in classes


def _places(text: bytes, batch: Batch) -> list[tuple[int, int, bool] | None]:
    """Begin and end of each event's text, and whether it is valid JSON."""
    if batch.pieces is None:
        objects = _valid(text, 0, batch.cut.end)
        if objects is None:  # nested as deep as can just be decoded
            return [None] * len(batch.events)
        return [(*extent, True) for extent in objects]
    places: list[tuple[int, int, bool] | None] = []
    for piece in batch.pieces:
        valid = _valid(text, piece.begin, piece.end)
        if valid is not None and len(valid) == piece.events:
            places += [(*extent, True) for extent in valid]
        elif piece.events == 1:
            places.append((max(text.find(b"{", piece.begin), piece.begin), piece.end, False))
        else:
            places += [None] * piece.events
    return places


def _valid(text: bytes, begin: int, end: int) -> Sequence[tuple[int, int]] | None:
    """Each object of a stretch that is, between brackets, a valid list; None where it is none."""
    try:
        items = _items(b"[" + text[begin:end] + b"]")
    except UNDECODABLE:
        return None
    places, position = [], begin
    for item in items:
        opening = text.find(b"{", position)
        position = opening + memoryview(item).nbytes
        places.append((opening, position))
    return places
