"""Traces inside of tar and zip archives, read where they are: nothing is unpacked to disk.

Only regular members with plain names count. What is unpacked passes by in blocks, so that memory is bounded
whatever an archive claims; one that unpacks to a thousand times its size is refused.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from traceanalyzer.records.errors import TraceAnalyzerError, TraceFormatError
from traceanalyzer.trace.reading.names import scheme, shown_name, traces_among
from traceanalyzer.trace.reading.stored import open_local, open_remote
from traceanalyzer.trace.reading.unpacking import Bomb, Unpacked, packing

_BUFFER = 1 << 18
_MOST_MEMBERS = 200_000
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError,
           OverflowError, NotImplementedError, RuntimeError)  # fmt: skip


def archived_traces(archive: str) -> tuple[list[str], TraceAnalyzerError | None]:
    """`ARCHIVE:MEMBER` of each trace in it, in the archive's order; and how it broke off, if it did.

    Errors: TraceFormatError where there is none.
    """
    _let_go()
    names: list[str] = []
    broken: TraceFormatError | None = None
    try:
        for name in _names(archive):
            names.append(name)
            if len(names) > _MOST_MEMBERS:
                raise tarfile.ReadError(f"more than {_MOST_MEMBERS:,} members")
    except _BROKEN as error:
        broken = _damaged(archive, f"{len(names):,} files could be listed; {_reason(error)}")
    traces = traces_among(names)
    if not traces:
        raise broken or TraceFormatError(
            f"{shown_name(archive)}: is an archive without traces (*.json, *.json.gz; {len(names):,} files)",
            fix="pack the traces as plain files",
        )
    _refuse_twins(archive, traces)
    return [f"{archive}:{name}" for name in traces], broken


def open_member(archive: str, member: str) -> BinaryIO:
    """The bytes of one member; where the archive breaks off in it, they end.

    Errors: TraceFormatError for what is not in it.
    """
    held = _taken(archive)
    try:
        opened = held.opened(member) if held is not None else None
        if opened is None:
            opened = _OpenArchive(archive).opened(member)
    except _BROKEN as error:
        raise _damaged(archive, f"nothing of {member} could be read; {_reason(error)}") from None
    if opened is None:
        name = shown_name(archive)
        raise TraceFormatError(f"{name}: holds no trace {member}", fix=f"list it: `tar -tf {name}`")
    return cast(BinaryIO, opened)


def _damaged(archive: str, where: str) -> TraceFormatError:
    return TraceFormatError(f"{shown_name(archive)}: is a damaged archive ({where})",
                            fix="copy or pack it again")  # fmt: skip


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__


def _refuse_twins(archive: str, traces: list[str]) -> None:
    """Of two members with one name, nobody can say which is meant."""
    if len(set(traces)) < len(traces):
        twin = next(name for name in traces if traces.count(name) > 1)
        raise TraceFormatError(
            f"{shown_name(archive)}: holds {twin} more than once", fix="unpack it and give the folder"
        )


def _names(archive: str) -> Iterator[str]:
    """Of all members that could be traces."""
    opened = _OpenArchive(archive)
    try:
        yield from (name for name, _ in opened.members())
    finally:
        opened.close()


class _Member(io.RawIOBase):
    """One member, unpacked as it is read."""

    def __init__(self, content: Any, archive: _OpenArchive) -> None:
        self._content, self._archive = content, archive

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._content.read(size)
        except Bomb:
            raise
        except _BROKEN:
            return b""  # what came before is kept, as of every file that breaks off
        return data

    def close(self) -> None:
        if not self.closed:
            self._archive.left()
        super().close()


class _Forgetful(tarfile.TarFile):
    """Keeps no list of the members that it has passed."""

    members: list[tarfile.TarInfo]

    def next(self) -> tarfile.TarInfo | None:
        entry = super().next()
        self.members = []
        return entry


class _OpenArchive:
    """An archive, and how far it has been passed through."""

    def __init__(self, archive: str) -> None:
        self.archive = archive
        self.process = os.getpid()
        self._file = _buffered(archive)
        self._zip: zipfile.ZipFile | None = None
        self._tar: tarfile.TarFile | None = None
        self.packed = False
        with ExitStack() as unless_begun:
            unless_begun.callback(self.close)
            self._begin()
            unless_begun.pop_all()

    def _begin(self) -> None:
        head = self._file.peek(8)[:8]
        if head.startswith(_ZIP):
            self._zip = zipfile.ZipFile(self._file)
            return
        packed = packing(head)
        self.packed = packed is not None
        source = Unpacked(self._file, packed, shown_name(self.archive))
        self._tar = _Forgetful(fileobj=cast(Any, source))

    def members(self) -> Iterator[tuple[str, Any]]:
        """Name and entry of each further regular member with a plain name."""
        if self._zip is not None:
            files = filter(_is_file, self._zip.infolist())
            yield from ((file.filename, file) for file in files if _is_plain(file.filename))
            return
        assert self._tar is not None
        while (entry := self._tar.next()) is not None:
            if entry.isreg() and not entry.issparse() and _is_plain(entry.name):
                yield _plain(entry.name), entry

    def opened(self, member: str) -> _Member | None:
        """The member, if it is among those further on."""
        for name, entry in self.members():
            if name == member:
                archive = self._zip or self._tar
                assert archive is not None
                content = self._zip.open(entry) if self._zip else cast(Any, self._tar).extractfile(entry)
                return _Member(content, self)
        self.close()
        return None

    def left(self) -> None:
        """A member has been read: a packed archive is kept open, for what follows would be unpacked again."""
        _let_go()
        if self.packed:
            _held.append(self)
        else:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


_held: list[_OpenArchive] = []  # at most one, between two of its members


def _let_go() -> None:
    while _held:
        archive = _held.pop()
        if archive.process == os.getpid():  # else another process reads from it
            archive.close()


def _taken(archive: str) -> _OpenArchive | None:
    """The archive as it was left, if it is this one and this process left it."""
    if _held and _held[0].archive == archive and _held[0].process == os.getpid():
        return _held.pop()
    _let_go()
    return None


def _buffered(archive: str) -> io.BufferedReader:
    if scheme(archive) is not None:
        return cast(io.BufferedReader, open_remote(archive))
    return io.BufferedReader(cast(io.RawIOBase, open_local(archive)), _BUFFER)


def _is_file(entry: zipfile.ZipInfo) -> bool:
    """No folder, no link, nothing locked by a password."""
    mode = stat.S_IFMT(entry.external_attr >> 16)
    return not entry.is_dir() and mode in (0, stat.S_IFREG) and not entry.flag_bits & 1


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _is_plain(name: str) -> bool:
    """A name that can be shown and that leads nowhere else; not macOS' own files beside each file."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and name.isprintable()
        and not name.startswith("/")
        and not {"..", "__MACOSX"} & set(parts)
        and not parts[-1].startswith(".")
    )
