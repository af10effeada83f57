"""Whatever names one trace, as a stream of its bytes: a path, a URL, a member of an archive, "-"."""

from __future__ import annotations

import io
import os
import sys
from typing import BinaryIO, cast

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.names import in_archive, is_archive, scheme


def opened(path: str) -> BinaryIO:
    """The bytes as stored. Errors: TraceFormatError, UsageError where a package is missing."""
    if path == "-":
        return sys.stdin.buffer
    local = scheme(path) is None
    if not (local and os.path.exists(path)):
        archive, member = in_archive(path)
        if member is not None:
            from traceanalyzer.trace.reading.archives import open_member

            return open_member(archive, member)
    if is_archive(path) and not (local and not os.path.isfile(path)):
        raise TraceFormatError(
            f"{path}: is an archive (no single trace)", fix=f"name one trace in it: `{path}:FILE.json.gz`"
        )
    return open_local(path) if local else open_remote(path)


def open_remote(url: str) -> BinaryIO:
    """A file at a URL; it can be sought in."""
    from traceanalyzer.trace.reading.remote import RemoteFile

    return cast(BinaryIO, io.BufferedReader(RemoteFile(url), 1 << 18))


def open_local(path: str) -> BinaryIO:
    """A file on disk, or a pipe by name."""
    if os.path.isdir(path):
        raise TraceFormatError(f"{path}: is a folder (no single trace)", fix="name one trace file in it")
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError as error:
        raise TraceFormatError(f"{path}: no such file (nothing read)", fix="check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = f"{path}: cannot be opened: {reason} (nothing read)"
        raise TraceFormatError(what, fix="check the path") from error
