"""A packed stream as one that is read forward, whatever it is packed with; bombs are refused."""

from __future__ import annotations

import contextlib
import gzip
import io
from typing import Any, BinaryIO

from traceanalyzer.records.errors import TraceFormatError, UsageError

_BLOCK = 1 << 18
_LARGEST_READ = 1 << 22  # bytes at once: a header that claims more is none
_FREE = 1 << 26  # bytes that may come out of anything
_MOST_TIMES = 200  # what may come out of a byte beyond; JSON of a profiler is about 20
_PACKINGS = {
    b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz",
}  # fmt: skip


class Bomb(TraceFormatError):
    """More comes out than any trace holds."""


def packing(head: bytes) -> str | None:
    """What a stream with these first bytes is packed with."""
    return next((packed for magic, packed in _PACKINGS.items() if head.startswith(magic)), None)


def refuse_bomb(packed: int, unpacked: int, name: str) -> None:
    """Raise once so many bytes came out of so few."""
    if unpacked > _FREE + _MOST_TIMES * packed:
        raise Bomb(f"{name}: unpacks to more than {_MOST_TIMES} times its size (after {packed:,} bytes)",
                   fix="give a trace that torch.profiler wrote")  # fmt: skip


class Unpacked:
    """What tarfile reads from: it seeks forward only, which then is reading; a plain file is sought in."""

    def __init__(self, file: BinaryIO, packed: str | None, name: str) -> None:
        self._counted = _Counted(file)
        self._name = name
        self._plain = file if packed is None else None
        self._stream: Any = file if packed is None else decoder(packed, self._counted, name)
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes. OSError for more at once than a header or a block is."""
        if not 0 <= size <= _LARGEST_READ:
            raise OSError(f"a header of {size:,} bytes")
        data: bytes = self._stream.read(size)
        self._at += len(data)
        if self._plain is None:
            refuse_bomb(self._counted.count, self._at, self._name)
        return data

    def seek(self, position: int) -> int:
        """Go on to a position."""
        if self._plain is not None:
            self._at = self._plain.seek(position)
            return self._at
        if position < self._at:
            raise io.UnsupportedOperation("a packed archive is read forward")
        while self._at < position and self.read(min(position - self._at, _BLOCK)):
            pass
        return self._at

    def tell(self) -> int:
        """The position in what is unpacked."""
        return self._at


class _Counted:
    """Counts what is taken out of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return self._file.closed


def decoder(packed: str, file: Any, name: str) -> Any:
    """What reads a packed stream. Errors: UsageError where this Python cannot."""
    if packed == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    try:
        if packed == "bzip2":
            from bz2 import BZ2File

            return BZ2File(file)
        if packed == "xz":
            from lzma import LZMAFile

            return LZMAFile(file)
    except ImportError:  # a Python that was built without these libraries
        tool = {"bzip2": "bunzip2", "xz": "unxz"}[packed]
        raise UsageError(
            f"{name}: is compressed with {packed}, which this Python cannot read",
            fix=f"decompress it first: `{tool} {name}`",
        ) from None
    return _zstd(file, name)


def _zstd(file: Any, name: str) -> Any:
    """By the standard library from Python 3.14 on, else by a package."""
    try:
        from compression.zstd import ZstdFile
    except ImportError:
        pass
    else:
        return ZstdFile(file)
    try:
        from zstandard import ZstdDecompressor
    except ImportError:
        raise UsageError(
            f"{name}: is compressed with zstd, which this Python cannot read",
            fix=f"pip install zstandard, or decompress it first: `zstd -d {name}`",
        ) from None
    return ZstdDecompressor(max_window_size=1 << 27).stream_reader(file, read_across_frames=True)


def unpacking_errors() -> tuple[type[Exception], ...]:
    """What the decoders that this Python has raise for a damaged stream."""
    errors: list[type[Exception]] = [OSError, ValueError]
    with contextlib.suppress(ImportError):
        from lzma import LZMAError

        errors.append(LZMAError)
    with contextlib.suppress(ImportError):
        from compression.zstd import ZstdError

        errors.append(ZstdError)
    with contextlib.suppress(ImportError):
        import zstandard

        errors.append(zstandard.ZstdError)
    return tuple(errors)
