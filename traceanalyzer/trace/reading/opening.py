"""Whatever names one trace, as a stream of its bytes: a path, a URL, a member of an archive, "-"."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.names import in_archive, is_archive, scheme, shown_name
from traceanalyzer.trace.reading.stored import open_local, open_remote


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
            f"{shown_name(path)}: is an archive (no single trace)",
            fix="name one trace in it: ARCHIVE:FILE.json.gz",
        )
    return open_local(path) if local else open_remote(path)
