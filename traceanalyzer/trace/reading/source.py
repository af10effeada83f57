"""A trace as a stream of decompressed text: plain or packed, recognized by content and not by name.

A stream that breaks off keeps what came before; `Source.damage` then says how it ended.
"""

from __future__ import annotations

import contextlib
import io
import sys
import zlib
from collections.abc import Callable
from typing import Any

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.foreign import refuse_foreign
from traceanalyzer.trace.reading.names import shown_name
from traceanalyzer.trace.reading.opening import opened
from traceanalyzer.trace.reading.unpacking import decoder, packing, refuse_bomb, unpacking_errors

BLOCK = 1 << 18  # bytes decoded at a time: text and objects then stay within the processor's caches
_GZIP = b"\x1f\x8b"


class TraceSource:
    """Sequential reader of one input; `read` gives decompressed bytes, b"" at the end."""

    def __init__(self, path: str, progress: Callable[[int], None] | None = None) -> None:
        self.path = shown_name(path)
        self.total = 0  # bytes of text handed out
        self.damage: str | None = None  # code of what ended the stream early
        self._progress = progress
        self._file = opened(path)
        self._raw = 0
        self._inflate: zlib._Decompress | None = None
        self._stream: Any = None  # of what is packed otherwise than with gzip
        with contextlib.ExitStack() as unless_begun:
            unless_begun.callback(self.__exit__)
            self._begin()
            unless_begun.pop_all()

    def __enter__(self) -> TraceSource:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not sys.stdin.buffer:
            self._file.close()

    def _begin(self) -> None:
        self._pending = self._fetch()
        if self._pending.startswith(_GZIP):
            self._inflate = zlib.decompressobj(31)
            return
        packed = packing(self._pending)
        if packed is not None:
            self._stream = decoder(packed, _Fetched(self._packed_bytes), self.path)
        else:
            refuse_foreign(self._pending, self.path)

    def read(self) -> bytes:
        """The next bytes of text, at most BLOCK; b"" only at the end."""
        if self._inflate is None and self._stream is None:
            text = self._packed_bytes()
        else:
            text = self._inflated() if self._stream is None else self._streamed()
            refuse_bomb(self._raw, self.total + len(text), self.path)
            if self.total == 0:
                refuse_foreign(text, self.path)
        self.total += len(text)
        return text

    def _fetch(self) -> bytes:
        try:
            data = self._file.read(BLOCK)
        except OSError as error:
            raise TraceFormatError(
                f"{self.path}: cannot be read: {error.strerror or error} (byte {self._raw})",
                fix="check the disk or the pipe",
            ) from error
        self._raw += len(data)
        if self._progress is not None and data:
            self._progress(self._raw)
        return data

    def _packed_bytes(self) -> bytes:
        """The next bytes as stored."""
        data, self._pending = self._pending or self._fetch(), b""
        return data

    def _streamed(self) -> bytes:
        try:
            text: bytes = self._stream.read1(BLOCK)
            self.damage = "truncated" if not (text or self.total) else None  # zstd breaks off without a word
            return text
        except EOFError:
            self.damage = "truncated"
        except unpacking_errors():
            self.damage = "corrupt_gzip"
        self._stream = io.BytesIO()
        return b""

    def _inflated(self) -> bytes:
        while self._inflate is not None:
            if self._inflate.eof and not self._next_member():
                return b""
            data = self._pending or self._fetch()
            if not data and not self._inflate.unconsumed_tail:
                self._inflate, self.damage = None, "truncated"
                return b""
            before = self._inflate.copy()
            try:
                text = self._inflate.decompress(data, BLOCK)
            except zlib.error:
                self._inflate, self.damage = None, "corrupt_gzip"
                return _until_damage(before, data)
            self._pending = self._inflate.unconsumed_tail
            if text:
                return text
        return b""

    def _next_member(self) -> bool:
        """Start on the next part of a gzip file made of several, as `cat a.gz b.gz` and some writers do."""
        assert self._inflate is not None
        rest = self._inflate.unused_data or self._fetch()
        if not rest.startswith(_GZIP):
            self._inflate, self._pending = None, b""
            return False
        self._inflate, self._pending = zlib.decompressobj(31), rest
        return True


class _Fetched:
    """What a decoder reads the stored bytes from: as many at once as come."""

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        self._fetch = fetch
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        data = self._held or self._fetch()
        size = len(data) if size < 0 else size
        self._held = data[size:]
        return data[:size]

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    closed = False


def _until_damage(inflate: zlib._Decompress, data: bytes) -> bytes:
    """The text in front of the damage, of which one large call would return nothing."""
    parts: list[bytes] = []
    with contextlib.suppress(zlib.error):
        while part := inflate.decompress(data, 256):
            parts.append(part)
            data = inflate.unconsumed_tail
    return b"".join(parts)


class TextWindow:
    """A stretch of the text held in memory; it moves forward only.

    `text` starts at byte `start` of the file; `ended` says that no more will come.
    """

    def __init__(self, source: TraceSource) -> None:
        self._source = source
        self.text = b""
        self.start = 0
        self.ended = False

    def grow(self, size: int = 0) -> bool:
        """Read on until `size` bytes are held, by default some more; False if nothing came."""
        parts, held = [self.text], len(self.text)
        size = size or held + 1
        while held < size and not self.ended:
            part = self._source.read()
            self.ended = not part
            parts.append(part)
            held += len(part)
        grown = held > len(self.text)
        if grown:
            self.text = b"".join(parts)
        return grown

    def drop(self, count: int) -> None:
        """Let go of the first `count` bytes."""
        self.text = self.text[count:]
        self.start += count

    def give_up(self, *, in_list: bool) -> None:
        """Let go of all that is held, a rest that is no whole value; `in_list`: of a list that breaks off."""
        self.start += len(self.text)
        self.text = b""
        self.ended = self.ended or in_list
