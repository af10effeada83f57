"""A trace as a stream of decompressed text: plain or gzip, recognized by content and not by name.

A stream that breaks off keeps what came before; `Source.damage` then says how it ended.
"""

from __future__ import annotations

import contextlib
import re
import sys
import zlib
from collections.abc import Callable

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.names import shown_name
from traceanalyzer.trace.reading.opening import opened
from traceanalyzer.trace.reading.unpacking import refuse_bomb

BLOCK = 1 << 18  # bytes decoded at a time: text and objects then stay within the processor's caches
_GZIP = b"\x1f\x8b"
_PROFILE_FIX = "give the .json or .json.gz that torch.profiler's export_chrome_trace wrote"
# Leading bytes -> what the file is, and what to do.
_FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "decompress it first: `zstd -d FILE`"),
    (b"BZh", "is compressed with bzip2", "decompress it first: `bunzip2 FILE`"),
    (b"\xfd7zXZ", "is compressed with xz", "decompress it first: `unxz FILE`"),
    (b"PK\x03\x04", "is a zip archive", "let its name end in .zip, or give the trace inside"),
    (b"SQLite format 3", "is an SQLite database (Nsight Systems?), not a PyTorch trace", _PROFILE_FIX),
    (b"\x80\x02", "is a Python pickle (a PyTorch memory snapshot?), not a trace", _PROFILE_FIX),
    (b"\x80\x03", "is a Python pickle (a PyTorch memory snapshot?), not a trace", _PROFILE_FIX),
    (b"\x80\x04", "is a Python pickle (a PyTorch memory snapshot?), not a trace", _PROFILE_FIX),
    (b"\x80\x05", "is a Python pickle (a PyTorch memory snapshot?), not a trace", _PROFILE_FIX),
    (b"\xff\xfe", "is UTF-16 text", "convert it: `iconv -f utf-16 -t utf-8`"),
    (b"\xfe\xff", "is UTF-16 text", "convert it: `iconv -f utf-16 -t utf-8`"),
)  # fmt: skip
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)


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
        else:
            self._refuse_foreign(self._pending)

    def read(self) -> bytes:
        """The next bytes of text, at most BLOCK; b"" only at the end."""
        if self._inflate is None:
            text, self._pending = self._pending or self._fetch(), b""
        else:
            text = self._inflated()
            refuse_bomb(self._raw, self.total + len(text), self.path)
            if self.total == 0:
                self._refuse_foreign(text)
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

    def _refuse_foreign(self, head: bytes) -> None:
        for magic, what, fix in _FOREIGN:
            if head.startswith(magic):
                raise TraceFormatError(f"{self.path}: {what} (byte 0)", fix=fix.replace("FILE", self.path))
        if _PAGE.match(head):
            raise TraceFormatError(
                f"{self.path}: is a web page, perhaps one to log in, not JSON (byte 0)",
                fix="give the URL of the file itself, with what opens it, or download it in a browser",
            )


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
