"""Files of a web server or of a bucket, by fsspec, as streams: nothing is downloaded first.

What breaks off is continued where it was, if the file is still the same.
"""

from __future__ import annotations

import io
import posixpath
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

from traceanalyzer.records.errors import TraceAnalyzerError, TraceFormatError
from traceanalyzer.trace.reading.names import ENDINGS, is_archive, is_pattern, is_web, scheme, shown_name
from traceanalyzer.trace.reading.remote_errors import LostPlace, as_ours, may_pass, wait_s

TIMEOUT_S = 30.0  # without a byte
WAITS_S = (0.5, 2.0, 5.0, 10.0)  # before each further try
_BLOCK = 1 << 23  # bytes of one request to a bucket
_SKIPPED = 1 << 20  # bytes that are sooner read than asked for anew
_VERSION_KEYS = (
    "ETag",
    "etag",
    "generation",
    "blob_id",
    "md5Hash",
    "checksum",
    "LastModified",
    "mtime",
    "size",
)
Value = TypeVar("Value")


class _Stream(Protocol):
    """A connection that hands out a file from some byte on."""

    version: object
    size: int | None

    def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end."""

    def close(self) -> None:
        """Let go of the connection."""


class RemoteFile(io.RawIOBase):
    """A file at a URL. A seek costs a request, a connection that breaks another.

    Errors, at once and while reading: TraceFormatError, UsageError where a package is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._at = 0
        self._stream: _Stream | None = None
        self._version: object = None
        self._size: int | None = None
        self._tried(self._connected)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is, at the cost of a request."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read on, through as many connections as it takes."""
        data = self._tried(lambda: self._connected().read(len(buffer)))
        if not data and self._size is not None and self._at < self._size:
            raise as_ours(ConnectionError("ended early"), self.url, self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        """The byte that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte; the file's end is known where the server says it."""
        if whence == io.SEEK_END and self._size is None:
            lost = LostPlace("is of unknown size", "download the file and give its path")
            raise as_ours(lost, self.url, self._at)
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size or 0}[whence]
        target = max(0, start + offset)
        if 0 < target - self._at <= _SKIPPED:
            while self._at < target and self.read(target - self._at):
                pass
        elif target != self._at:
            self._disconnect()
            self._at = target
        return self._at

    def close(self) -> None:
        """Let go of the connection."""
        self._disconnect()
        super().close()

    def _tried(self, action: Callable[[], Value]) -> Value:
        """What the action returns, at one of several tries."""
        for wait in (*WAITS_S, None):
            try:
                return action()
            except Exception as error:  # the clients of stores raise what they like
                self._disconnect()
                if wait is None or not may_pass(error):
                    raise as_ours(error, self.url, self._at) from None
                time.sleep(max(wait, wait_s(error)))
        raise AssertionError("the last try returns or raises")

    def _connected(self) -> _Stream:
        if self._stream is not None:
            return self._stream
        if self._size is not None and self._at >= self._size > 0:
            return _Ended()
        opened: type[_WebStream] | type[_BucketStream] = _WebStream if is_web(self.url) else _BucketStream
        stream: _Stream = opened(self.url, self._at, self._version)
        self._stream, self._version, self._size = stream, stream.version, stream.size
        return stream

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _changed() -> LostPlace:
    return LostPlace("has changed while it was read", "read it once it is written")


class _Ended:
    """Behind the last byte, where no server has anything."""

    version: object = None
    size: int | None = None

    def read(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


class _WebStream:
    """One GET, read as it arrives: neither a size nor ranges are needed unless it breaks off."""

    def __init__(self, url: str, at: int, version: object) -> None:
        import aiohttp

        fs, path = filesystem(url)
        # What is packed stays packed: only then do bytes count the same in every answer.
        headers = {**fs.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
        if at:
            headers |= {"Range": f"bytes={at}-"} | ({"If-Range": str(version)} if version else {})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S)
        self._file = fs.open(
            path, "rb", block_size=0, size=1, headers=headers, auto_decompress=False, timeout=timeout
        )
        answer = self._file.r
        self.version: object = _web_version(answer.headers)
        self.size: int | None = _web_size(answer)
        with ExitStack() as unless_checked:
            unless_checked.callback(self.close)
            if at:
                self._check(answer, at, version)
            unless_checked.pop_all()

    def _check(self, answer: Any, at: int, version: object) -> None:
        """That the file is the same, from the byte asked for on; what is sent once more is passed over."""
        if version and self.version != version:
            raise _changed()
        if answer.status == 206:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
                raise LostPlace("the server sends another part than asked for", "download it, give its path")
            return
        if not version:
            raise LostPlace(
                "the connection broke off, and the server cannot continue (it knows no ranges)",
                "download the file and give its path",
            )
        while at and (passed := self.read(min(at, _SKIPPED))):
            at -= len(passed)

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        return data

    def close(self) -> None:
        self._file.close()


def _web_version(headers: Any) -> str | None:
    """What tells one content of a URL from another; a weak ETag does not."""
    tag: str = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _web_size(answer: Any) -> int | None:
    """Bytes of the whole file."""
    whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if answer.status != 206:
        whole = answer.headers.get("Content-Length", "")
    return int(whole) if whole.isdecimal() else None


class _BucketStream:
    """A file of a store that knows ranges, some megabytes a request."""

    def __init__(self, url: str, at: int, version: object) -> None:
        fs, path = filesystem(url)
        if version is not None:
            fs.invalidate_cache()
        info = fs.info(path)
        if info.get("type") == "directory":
            raise IsADirectoryError(path)
        self.version: object = tuple(info.get(key) for key in _VERSION_KEYS)
        self.size: int | None = info.get("size")
        if version is not None and self.version != version:
            raise _changed()
        self._file = fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
        self._file.seek(at)

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        return data

    def close(self) -> None:
        self._file.close()


def filesystem(url: str) -> tuple[Any, str]:
    """The store of fsspec that a URL is of, and what the file is called there."""
    import fsspec

    # A URL that is quoted stays as it is: its signature is of these characters.
    quoted = is_web(url) and url.isascii() and " " not in url
    store, path = fsspec.core.url_to_fs(url, **({"encoded": True} if quoted else {}))
    return store, path


def named_at(url: str) -> list[str]:
    """The files that a pattern or a folder at a URL names, in order; of a file its own URL.

    Errors as of RemoteFile.
    """
    try:
        names = _listed(url)
    except TraceAnalyzerError:
        raise
    except Exception as error:  # the clients of stores raise what they like
        raise as_ours(error, url) from None
    if not names:
        raise TraceFormatError(
            f"{shown_name(url)}: names no file (nothing read)", fix="check the pattern, or list the folder"
        )
    return names


def _listed(url: str) -> list[str]:
    if is_pattern(url):
        fs, path = filesystem(url)
        return sorted(_as_given(name, url) for name, info in fs.glob(path, detail=True).items()
                      if info.get("type") != "directory")  # fmt: skip
    if not _may_be_folder(url):
        return [url]
    fs, path = filesystem(url)
    if not url.endswith("/") and not fs.isdir(path):
        return [url]
    listed = fs.ls(path, detail=True)
    return sorted(_as_given(info["name"], url) for info in listed if info.get("type") != "directory")


def _may_be_folder(url: str) -> bool:
    """Where only a request tells; the web is not asked, for there everything is a page."""
    return url.endswith("/") or not (is_web(url) or url.endswith(ENDINGS) or is_archive(url))


def may_name_several(url: str) -> bool:
    """Whether a URL names a pattern, a folder or an archive, as far as its text tells."""
    return is_pattern(url) or is_archive(url) or _may_be_folder(url)


def _as_given(name: str, url: str) -> str:
    """A name of the store as a URL of the same kind as the one given."""
    if scheme(name) is not None:
        return name
    return f"{url.partition('://')[0]}://{posixpath.normpath(name).lstrip('/')}"
