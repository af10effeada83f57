"""Rows read one by one where a batch of them would not decode: each repair is counted.

Kineto up to torch 2.13 writes names without escaping them, and numbers such as `inf` that are not
JSON; hosts with other locales add bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from traceanalyzer.trace.reading.events import UNDECODABLE, Event, decode_batch, event_of
from traceanalyzer.trace.reading.read_stats import ReadStats
from traceanalyzer.trace.reading.scan import BORDER, BROKEN, CLOSING, FINAL, value_end

_CLOSINGS_TRIED = 4
_FEW_LOST = 16
_DIGITS = 400  # of a number that is read
_REACH, _SHORT_REACH = 1 << 22, 1 << 16  # bytes waited for before a row that does not end is given up
_TIMES = 8  # as much text as was read may be looked at in vain, and as is there _FIRST times
_FIRST, _FEWEST = 4, 1 << 20
_LEAST_LOOK = 1 << 12  # bytes looked at of any row
_BLANK = re.compile(rb"[,\s]*")
_ITEM = re.compile(rb"[,\s]*[^,\s{\]}]")  # begins with what begins no object
_BEHIND_BARE = re.compile(rb"\s*(?:,\s*|(?=\]))")
_BARE_END = re.compile(rb'[,\s]*\](?=\s*,\s*"|\s*\}|\s*\Z)')


class Piece(NamedTuple):
    """Text that gave some events."""

    begin: int
    end: int
    events: int


class DecodedRows(NamedTuple):
    """`consumed` bytes of text gave `events`, piece by piece; closed: the list ends there."""

    events: list[Event]
    consumed: int
    closed: bool
    pieces: list[Piece]


class _Row(NamedTuple):
    events: list[Event] | None  # None: unreadable
    end: int
    behind: int  # where the text goes on
    closed: bool


class _Place(NamedTuple):
    """Where a row may end, and where the text goes on then."""

    end: int
    behind: int
    closed: bool


_Decode = Callable[[bytes, ReadStats], list[Event] | None]


class _Looking:
    """How far rows are looked at, so that the work grows as the text does and no faster.

    Borders are searched for once each. What is read in vain is counted: a multiple of what was consumed,
    and a little for every row, may be.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.spent = 0
        self._from = len(text) + 1
        self._border: re.Match[bytes] | None = None

    def border(self, begin: int) -> re.Match[bytes] | None:
        """The first border from `begin` on."""
        if begin < self._from or (self._border is not None and begin > self._border.start()):
            self._from, self._border = begin, BORDER.search(self.text, begin)
        return self._border

    def limit(self, begin: int) -> int:
        """Where looking at the row at `begin` ends."""
        allowed = max(_FIRST * len(self.text), _FEWEST) + _TIMES * begin - self.spent
        return min(len(self.text), begin + max(allowed, _LEAST_LOOK))


def decode_rows(text: bytes, *, whole: bool, at: int, stats: ReadStats) -> DecodedRows:
    """Events of `text`, which starts with a row at byte `at` of the file.

    Unless `whole`, the last row may go on behind the text and is left to the next call.
    """
    events: list[Event] = []
    pieces: list[Piece] = []
    looking = _Looking(text)
    begin = 0
    while begin < len(text):
        passed = _past_items(text, begin, looking, stats)
        if passed.closed:
            return DecodedRows(events, passed.behind, True, pieces)
        begin = passed.behind
        border = looking.border(begin)
        if border is None and not whole:
            return DecodedRows(events, begin, False, pieces)
        piece_end = border.start() + 1 if border else len(text)
        patience = 0 if whole else _REACH if stats.dropped < _FEW_LOST else _SHORT_REACH
        row = _row(looking, begin, piece_end, patience=patience, stats=stats)
        if row is None:
            return DecodedRows(events, begin, False, pieces)
        if row.events is None:
            _lose(text[begin:piece_end], at + begin, cut_off=border is None, stats=stats)
        if row.events:
            pieces.append(Piece(begin, row.end, len(row.events)))
            events += row.events
        if row.closed:
            return DecodedRows(events, row.behind, True, pieces)
        border = BORDER.match(text, row.behind - 1)
        begin = border.end() if border else _skip(text, row.behind)
    return DecodedRows(events, begin, False, pieces)


def _past_items(text: bytes, begin: int, looking: _Looking, stats: ReadStats) -> _Place:
    """Over what is no object, and so no row; closed: the list ends there."""
    while begin < len(text):
        bare_end = _BARE_END.match(text, begin)
        if bare_end:
            return _Place(begin, bare_end.end(), True)
        if not _ITEM.match(text, begin):
            break
        limit = looking.limit(begin)
        end = value_end(text, _skip(text, begin), limit)
        goes_on = _BEHIND_BARE.match(text, end) if end is not None and end != BROKEN else None
        if end is None or goes_on is None:
            looking.spent += limit - begin
            break
        stats.add("wrong_types")
        begin = goes_on.end()
    return _Place(begin, begin, False)


def _skip(text: bytes, begin: int) -> int:
    """Over commas and white space: what is then left belongs to a row that breaks off."""
    blank = _BLANK.match(text, begin)
    return blank.end() if blank else begin


def _lose(piece: bytes, at: int, *, cut_off: bool, stats: ReadStats) -> None:
    if not piece.strip():
        return
    stats.lose(at)
    if not cut_off:  # of a file that breaks off, the last row is missing rather than unreadable
        stats.add("unreadable_rows")


def _row(looking: _Looking, begin: int, piece_end: int, *, patience: int, stats: ReadStats) -> _Row | None:
    """The row at `begin`, by the first reading that works, from the plainest to the boldest.

    What looks like a border may stand in a nested object or in a string: before a row is rewritten,
    its end is searched for. None: it may lie behind the text, of which less than `patience` is left.
    """
    text, limit = looking.text, looking.limit(begin)
    places = [_Place(piece_end, piece_end, False)] if piece_end <= limit else []
    closings = CLOSING.finditer(text, begin, min(piece_end, limit))
    for closing, _ in zip(closings, range(_CLOSINGS_TRIED), strict=False):
        places.append(_Place(closing.start() + 1, closing.end(), True))
    row = _first((_strict, _escaped, _tolerant), looking, begin, places, stats)
    if row:
        return row
    end = value_end(text, max(text.find(b"{", begin, limit), begin), limit)
    looking.spent += (end if end is not None and end != BROKEN else limit) - begin
    scanned = _scanned(text, end, final=patience == 0)
    if not scanned and end != BROKEN and limit == len(text) and len(text) - begin < patience:
        return None
    return (
        _first((_strict, _tolerant), looking, begin, scanned, stats)
        or _first((_rewritten,), looking, begin, places + scanned, stats)
        or _Row(None, piece_end, piece_end, False)
    )


def _first(
    ways: tuple[_Decode, ...], looking: _Looking, begin: int, places: list[_Place], stats: ReadStats
) -> _Row | None:
    for decode in ways:
        for place in places:
            events = decode(looking.text[begin : place.end], stats)
            if events is not None:
                return _Row(events, place.end, place.behind, place.closed)
            looking.spent += place.end - begin
    return None


def _scanned(text: bytes, end: int | None, *, final: bool) -> list[_Place]:
    """`end`, where a row ends by its brackets, if what follows may follow a row."""
    if end is None or end == BROKEN:
        return []
    closing = CLOSING.match(text, end - 1)
    if closing:
        return [_Place(end, closing.end(), True)]
    goes_on = BORDER.match(text, end - 1) or (final and FINAL.match(text, end))
    return [_Place(end, end, False)] if goes_on else []


def _strict(piece: bytes, _: ReadStats) -> list[Event] | None:
    try:
        return decode_batch(b"[" + piece + b"]")
    except UNDECODABLE:
        return None


def _escaped(piece: bytes, stats: ReadStats) -> list[Event] | None:
    """The text with its stray backslashes doubled, where it has some: all rows of a trace from Windows."""
    if b"\\" not in piece:
        return None
    text = _ESCAPE_BYTES.sub(lambda match: match[0] if match[1] else rb"\\", piece)
    events = _strict(text, stats) if len(text) > len(piece) else None
    stats.add("repaired_escapes", events is not None)
    return events


def _tolerant(piece: bytes, stats: ReadStats) -> list[Event] | None:
    """JSON but for control characters, bytes that are not UTF-8, and bare NaN or infinity."""
    return _loaded(_plain_texts(piece), stats)


def _rewritten(piece: bytes, stats: ReadStats) -> list[Event] | None:
    """The text with its escapes and quotes put right as best they can."""
    return _loaded(_repaired_texts(piece), stats)


def _loaded(texts: Iterator[tuple[str, str]], stats: ReadStats) -> list[Event] | None:
    constants: list[str] = []

    def whole(digits: str) -> int | None:
        if len(digits) <= _DIGITS:
            return int(digits)
        constants.append(digits)
        return None

    for code, text in texts:
        constants.clear()
        try:
            rows = json.loads(f"[{text}]", strict=not code, parse_constant=constants.append, parse_int=whole)
        except (ValueError, RecursionError):
            continue
        if code:
            stats.add(code)
        elif constants:
            stats.add("nonfinite_values")
        return _events_of(rows, stats)
    return None


def _events_of(rows: list[Any], stats: ReadStats) -> list[Event]:
    events = []
    for row in rows:
        if not isinstance(row, dict):
            stats.add("wrong_types")
            continue
        event, usable = event_of(row)
        stats.lenient += 1
        if not usable and event.ph == "X":
            stats.add("wrong_types")
            event.ph = ""  # counts as an event, is read no further
        events.append(event)
    return events


_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BAREWORD = re.compile(rf"({_STRING})|[-+]?\b(?:nan|inf|infinity)\b", re.IGNORECASE | re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_ESCAPE_BYTES = re.compile(_ESCAPE.pattern.encode())
_FINAL_BACKSLASH = re.compile(r'(?<!\\)\\"(?=\s*(?:,\s*"[^"\\]+"\s*:|\}))')


def _plain_texts(piece: bytes) -> Iterator[tuple[str, str]]:
    """The text as it stands, then ever more tolerantly, each with the code of what was tolerated."""
    try:
        text = piece.decode()
        yield "", text
    except UnicodeDecodeError:
        text = piece.decode(errors="replace")
        yield "repaired_utf8", text
    yield "repaired_control", text
    yield "nonfinite_values", _without_barewords(text)


def _repaired_texts(piece: bytes) -> Iterator[tuple[str, str]]:
    """The text ever more repaired, each with the code of the latest repair."""
    text = _without_barewords(piece.decode(errors="replace"))
    yield "repaired_escapes", _ESCAPE.sub(_whole_escape, text)
    text = _ESCAPE.sub(_whole_escape, _FINAL_BACKSLASH.sub(r'\\\\"', text))
    yield "repaired_escapes", text
    yield "repaired_quotes", escape_stray_quotes(text)


def _without_barewords(text: str) -> str:
    return _BAREWORD.sub(lambda match: match[1] or "null", text)


def _whole_escape(match: re.Match[str]) -> str:
    return match[0] if match[1] else r"\\"


_MARK = re.compile(r'[{}\[\]"]')
_BLANKS = 64  # between a key and its value
_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_BEHIND_KEY = re.compile(r"\s*:")
_BEHIND_VALUE = re.compile(rf"\s*(?:\}}\s*(?:[,}}\]]|\Z)|,\s*{_STRING}\s*:)", re.DOTALL)
_BEHIND_ITEM = re.compile(r'\s*(?:\]|,\s*["\[{\-\dtfn])')


def escape_stray_quotes(text: str) -> str:
    """Backslashes before the quotes inside strings: a string ends only where JSON could go on behind it."""
    parts: list[str] = []
    open_brackets: list[str] = []
    position = 0
    while mark := _MARK.search(text, position):
        parts.append(text[position : mark.end()])
        position = mark.end()
        if mark[0] in "{[":
            open_brackets.append(mark[0])
        elif mark[0] in "}]":
            del open_brackets[-1:]
        else:
            is_value = text[max(mark.start() - _BLANKS, 0) : mark.start()].rstrip().endswith(":")
            behind = _BEHIND_VALUE if is_value else _BEHIND_KEY
            behind = _BEHIND_ITEM if open_brackets[-1:] == ["["] else behind
            quotes = (quote for quote in _QUOTE.finditer(text, position) if quote[0] == '"')
            end = next((quote.start() for quote in quotes if behind.match(text, quote.end())), None)
            if end is None:
                break
            inner = text[position:end]
            parts.append(_QUOTE.sub(lambda quote: '\\"' if quote[0] == '"' else quote[0], inner) + '"')
            position = end + 1
    return "".join([*parts, text[position:]])
