"""The document around the events: walks its top-level members in whatever order they stand.

Nothing but the wanted members is kept; the list of events is handed to `blocks` where it is met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.blocks import Batch, event_batches
from traceanalyzer.trace.reading.foreign import refuse_other_list, writer
from traceanalyzer.trace.reading.metadata import EVENTS_KEY, EVIDENCE_KEY, KEPT_KEYS, loaded
from traceanalyzer.trace.reading.read_stats import ReadStats
from traceanalyzer.trace.reading.scan import BROKEN, value_end
from traceanalyzer.trace.reading.source import BLOCK, TextWindow, TraceSource

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"\s*")
_KEY = re.compile(rb'\s*,?\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"\s*:\s*(?=\S)', re.DOTALL)
_DONE = re.compile(rb"\s*,?\s*\}")
_NEXT_LINE = re.compile(rb"\s*\}\s*\{")
_EVENTS = re.compile(rb'"' + EVENTS_KEY.encode() + rb'"\s*:\s*\[')
_LONGEST_KEY = 1 << 16
_LONGEST_VALUE = 1 << 24  # of members that are not wanted, too: what is longer is searched, not walked
_RESCUED = 1 << 22  # bytes of unreadable text in which wanted members are searched for


class Document(msgspec.Struct):
    """What the walk has met so far; complete once `batches` is exhausted."""

    source: TraceSource
    stats: ReadStats
    kept: dict[str, Any] = msgspec.field(default_factory=dict)
    keys: set[str] = msgspec.field(default_factory=set)
    evidence: str | None = None
    bare_list: bool = False
    has_events: bool = False
    json_lines: bool = False  # further objects follow the first one
    tool: str | None = None  # whose list of events it is, if another's

    def batches(self, window: TextWindow | None = None) -> Iterator[Batch]:
        """Decoded events in file order, a block at a time. Raises TraceFormatError on what is no JSON."""
        window = window or TextWindow(self.source)
        opening = self._opening(window)
        if self.bare_list:
            window.grow(BLOCK)
            refuse_other_list(window.text[opening:], self.source.path)
        window.drop(opening + 1)
        if self.bare_list:
            self.has_events = True
            yield from self._events(window)
            return
        while True:
            state = self._next_member(window)
            if state == "events":
                self.has_events = True
                yield from self._events(window)
            elif state == "done" or (state == "lost" and not self._resume(window)):
                self.json_lines = state == "done" and _NEXT_LINE.match(window.text) is not None
                return

    def _events(self, window: TextWindow) -> Iterator[Batch]:
        """The batches of the list of events; a tool that writes no rows of this profiler is noted."""
        for number, batch in enumerate(event_batches(window, self.stats)):
            if self.tool is None and (number == 0 or "wrong_types" in self.stats.counts):
                self.tool = writer(window.text)
            yield batch

    def _opening(self, window: TextWindow) -> int:
        while window.grow():
            text = window.text
            match = _SPACE.match(text, len(_BOM) if text.startswith(_BOM) else 0)
            position = match.end() if match else 0
            if position < len(text):
                if text[position : position + 1] not in (b"{", b"["):
                    raise self._no_json(text, position)
                self.bare_list = text[position : position + 1] == b"["
                return position
        raise self._empty()

    def _empty(self) -> TraceFormatError:
        path = self.source.path
        if self.source.damage:
            return TraceFormatError(
                f"{path}: is a damaged compressed file (nothing could be read from it)",
                fix="copy or record the trace again",
            )
        return TraceFormatError(f"{path}: is empty (0 bytes of text)", fix="record the trace again")

    def _no_json(self, text: bytes, place: int) -> TraceFormatError:
        path = self.source.path
        try:
            json.loads(text[place:])
        except (ValueError, RecursionError):
            return TraceFormatError(
                f"{path}: is not JSON (byte {place})",
                fix="give the .json or .json.gz that torch.profiler's export_chrome_trace wrote",
            )
        return TraceFormatError(
            f"{path}: is JSON, but has no {EVENTS_KEY} (a single value at byte {place})",
            fix="give a trace that torch.profiler's export_chrome_trace wrote",
        )

    def _next_member(self, window: TextWindow) -> str:
        """Step over one member: 'events' in front of their list, 'member', 'done', or 'lost'."""
        while True:
            if _DONE.match(window.text):
                return "done"
            key = _KEY.match(window.text)
            if key:
                break
            if len(window.text) > _LONGEST_KEY or not window.grow():
                return self._ended(window) if not window.text.strip() else "lost"
        name = key[1].decode(errors="replace")
        if name == EVENTS_KEY and window.text[key.end() : key.end() + 1] == b"[":
            window.drop(key.end() + 1)
            return "events"
        end = self._value_end(window, key.end())
        if end is None or end == BROKEN:
            return "lost"
        self.keys.add(name)
        if name in KEPT_KEYS:
            self._keep(name, window.text[key.end() : end])
        elif name == EVIDENCE_KEY:
            self.evidence = window.text[key.end() : end].decode(errors="replace")
        window.drop(end)
        return "member"

    def _ended(self, window: TextWindow) -> str:
        self.stats.cut_off(window.start + len(window.text))
        return "done"

    def _value_end(self, window: TextWindow, begin: int) -> int | None:
        while (end := value_end(window.text, begin)) is None:
            if len(window.text) > _LONGEST_VALUE or not window.grow(2 * len(window.text)):
                return None
        return end

    def _keep(self, name: str, text: bytes) -> None:
        try:
            self.kept[name] = loaded(text.decode(errors="replace"))
        except (ValueError, RecursionError):
            self.stats.add("repaired_metadata")

    def _resume(self, window: TextWindow) -> bool:
        """Behind unreadable text: go on at the events if they are still to come; False at the end."""
        skipped = b""
        while True:
            events = None if self.has_events else _EVENTS.search(window.text)
            if events or window.ended:
                break
            spent = max(len(window.text) - _LONGEST_KEY, 0)
            skipped = (skipped + window.text[:spent])[:_RESCUED]
            window.drop(spent)
            window.grow(2 * _LONGEST_KEY)
        end = events.start() if events else len(window.text)
        cut_off = not events and not window.text.rstrip().endswith(b"}")
        if cut_off:
            self._ended(window)
        self._rescue(skipped + window.text[:end][:_RESCUED])
        if cut_off:
            window.give_up(in_list=False)
        else:
            window.drop(end)
        return bool(events)

    def _rescue(self, text: bytes) -> None:
        if not self.stats.counts.get("truncated"):
            self.stats.add("repaired_metadata")
        readable = text.decode(errors="replace")
        for name in KEPT_KEYS - self.kept.keys():
            for match in re.finditer(rf'"{name}"\s*:\s*', readable):
                try:
                    end = json.JSONDecoder(strict=False).raw_decode(readable, match.end())[1]
                    self.kept[name] = loaded(readable[match.end() : end])
                    break
                except (ValueError, RecursionError):
                    continue
        self.keys.update(re.findall(r'^\s*"([^"\\]+)"\s*:', readable, re.MULTILINE))
