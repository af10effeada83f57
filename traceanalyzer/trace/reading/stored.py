"""One file where it is stored, as a stream of its bytes: on disk or at a URL."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, cast

from traceanalyzer.records.errors import TraceFormatError


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
