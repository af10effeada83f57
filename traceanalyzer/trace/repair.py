"""Rows read one by one where a batch of them would not decode: each repair is counted.

Kineto up to torch 2.13 writes names without escaping them, and numbers such as `inf` that are not
JSON; hosts with other locales add bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from traceanalyzer.trace.events import UNDECODABLE, Event, decode_batch, event_of
from traceanalyzer.trace.scan import BORDER, CLOSING, END, value_end
from traceanalyzer.trace.tally import Tally

_CLOSINGS_TRIED = 4
_FEW_LOST = 16
_REACH, _SHORT_REACH = 1 << 22, 1 << 16  # bytes waited for before a row that does not end is given up


class Rows(NamedTuple):
    """`consumed` bytes of text gave `events`; closed: the list ends there."""

    events: list[Event]
    consumed: int
    closed: bool


class _Row(NamedTuple):
    events: list[Event]
    end: int       # of the row's text
    closed: bool


def decode_rows(text: bytes, *, whole: bool, at: int, tally: Tally) -> Rows:
    """Events of `text`, which starts with a row at byte `at` of the file.

    Unless `whole`, the last row may go on behind the text and is left to the next call.
    """
    events: list[Event] = []
    begin = 0
    while begin < len(text):
        border = BORDER.search(text, begin)
        if border is None and not whole:
            return Rows(events, begin, False)
        piece_end = border.start() + 1 if border else len(text)
        row = _row(text, begin, piece_end, tally)
        if row is None:
            ends = value_end(text, max(text.find(b"{", begin), begin))
            reach = _REACH if tally.dropped < _FEW_LOST else _SHORT_REACH
            if ends is None and not whole and len(text) - begin < reach:
                return Rows(events, begin, False)
            _lose(text[begin:piece_end], at + begin, cut_off=border is None and ends is None, tally=tally)
            row = _Row([], piece_end, False)
        events += row.events
        if row.closed:
            return Rows(events, row.end, True)
        border = BORDER.match(text, row.end - 1) if row.end else None
        begin = border.end() if border else len(text)
    return Rows(events, begin, False)


def _lose(piece: bytes, at: int, *, cut_off: bool, tally: Tally) -> None:
    if not piece.strip():
        return
    tally.lose(at)
    if not cut_off:  # of a file that breaks off, the last row is missing rather than unreadable
        tally.add("unreadable_rows")


def _row(text: bytes, begin: int, piece_end: int, tally: Tally) -> _Row | None:
    """The row at `begin`, by the first reading that works, from the plainest to the boldest."""
    piece = text[begin:piece_end]
    closings = [found for found, _ in zip(CLOSING.finditer(piece), range(_CLOSINGS_TRIED), strict=False)]
    for decode in (_strict, _lenient):
        events = decode(piece, tally)
        if events is not None:
            return _Row(events, piece_end, False)
        for closing in closings:
            events = decode(piece[: closing.start() + 1], tally)
            if events is not None:
                return _Row(events, begin + closing.end(), True)
    return _scanned(text, begin, tally)


def _scanned(text: bytes, begin: int, tally: Tally) -> _Row | None:
    """A row with what looks like a border inside, in a nested object or in a string."""
    end = value_end(text, begin + len(text[begin:]) - len(text[begin:].lstrip()))
    if end is None:
        return None
    closing = CLOSING.match(text, end - 1)
    if not (closing or BORDER.match(text, end - 1) or END.match(text, end)):
        return None
    for decode in (_strict, _lenient):
        events = decode(text[begin:end], tally)
        if events is not None:
            return _Row(events, closing.end() if closing else end, bool(closing))
    return None


def _strict(piece: bytes, _: Tally) -> list[Event] | None:
    try:
        return decode_batch(b"[" + piece + b"]")
    except UNDECODABLE:
        return None


def _lenient(piece: bytes, tally: Tally) -> list[Event] | None:
    constants: list[str] = []
    for code, text in _repairs(piece):
        constants.clear()
        try:
            rows = json.loads(f"[{text}]", strict=not code, parse_constant=constants.append)
        except (ValueError, RecursionError):
            continue
        if code:
            tally.add(code)
        elif constants:
            tally.add("nonfinite_values")
        return _events_of(rows, tally)
    return None


def _events_of(rows: list[Any], tally: Tally) -> list[Event]:
    events = []
    for row in rows:
        if not isinstance(row, dict):
            tally.add("wrong_types")
            continue
        event, usable = event_of(row)
        tally.lenient += 1
        if not usable and event.ph == "X":
            tally.add("wrong_types")
            event.ph = ""  # counts as an event, is read no further
        events.append(event)
    return events


_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BAREWORD = re.compile(rf"({_STRING})|[-+]?\b(?:nan|inf|infinity)\b", re.IGNORECASE | re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_FINAL_BACKSLASH = re.compile(r'(?<!\\)\\"(?=\s*(?:,\s*"[^"\\]+"\s*:|\}))')


def _repairs(piece: bytes) -> Iterator[tuple[str, str]]:
    """The text as it stands, then ever more repaired, each with the code of the latest repair."""
    try:
        text = piece.decode()
        yield "", text
    except UnicodeDecodeError:
        text = piece.decode(errors="replace")
        yield "repaired_utf8", text
    yield "repaired_control", text
    text = _BAREWORD.sub(lambda found: found[1] or "null", text)
    yield "nonfinite_values", text
    yield "repaired_escapes", _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", text)
    text = _FINAL_BACKSLASH.sub(r'\\\\"', text)
    text = _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", text)
    yield "repaired_escapes", text
    yield "repaired_quotes", escape_stray_quotes(text)


_MARK = re.compile(r'[{}\[\]"]')
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
            is_value = text[: mark.start()].rstrip().endswith(":")
            behind = _BEHIND_VALUE if is_value else _BEHIND_KEY
            behind = _BEHIND_ITEM if open_brackets[-1:] == ["["] else behind
            quotes = (found for found in _QUOTE.finditer(text, position) if found[0] == '"')
            end = next((found.start() for found in quotes if behind.match(text, found.end())), None)
            if end is None:
                break
            inner = text[position:end]
            parts.append(_QUOTE.sub(lambda found: '\\"' if found[0] == '"' else found[0], inner) + '"')
            position = end + 1
    return "".join([*parts, text[position:]])
