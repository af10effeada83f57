"""Text put into one row without touching what is there: its numbers and strings stay byte for byte."""

from __future__ import annotations

import json
import re

from traceanalyzer.trace.reading.located import Located
from traceanalyzer.trace.reading.read_stats import ReadStats
from traceanalyzer.trace.reading.repair import decode_rows
from traceanalyzer.trace.reading.scan import BROKEN, value_end

_ARGS = re.compile(rb'"args"\s*:\s*')
_KEY = re.compile(rb'\s*,?\s*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:\s*', re.DOTALL)
_EMPTY = re.compile(rb"\{\s*\}")


def spliced(row: bytes, where: Located, member: bytes, color: bytes) -> bytes | None:
    """The row with `member` in its `args`, and a color unless it has one; None where no place is sure.

    `member` and `color` are members of an object, the color with a comma behind it.
    """
    begin = _args_of(row, where)
    if begin is None:
        return None
    color = b"" if b'"cname"' in row else color
    if begin < 0:
        changed = b'{%b"args":{%b},%b' % (color, member, row[1:])
    elif row.startswith(b"null", begin):
        changed = b"{%b%b{%b}%b" % (color, row[1:begin], member, row[begin + 4 :])
    else:
        comma = b"" if _EMPTY.match(row, begin) else b","
        changed = b"{%b%b{%b%b%b" % (color, row[1:begin], member, comma, row[begin + 1 :])
    return changed if where.valid or _reads_alike(row, changed) else None


def _args_of(row: bytes, where: Located) -> int | None:
    """Where the value of the row's own `args` begins; -1: it has none, None: not known.

    Without a backslash every quote delimits a string, so that `"args":` is a key; and where the decoder
    found arguments, the only such key is theirs.
    """
    if not row.startswith(b"{"):
        return None
    keys = [match.end() for match in _ARGS.finditer(row)] if b"\\" not in row else []
    if len(keys) == 1 and where.event.args is not None:
        return keys[0]
    if where.valid:
        return _own_args(row)
    every = [match.end() for match in _ARGS.finditer(row)]
    return every[0] if len(every) == 1 and where.event.args is not None else None


def _own_args(row: bytes) -> int:
    """By walking the members of a valid object; of several with that key the last counts."""
    begin, position = -1, 1
    while key := _KEY.match(row, position):
        end = value_end(row, key.end())
        assert end is not None and end != BROKEN, "the row was decoded as valid JSON"
        if json.loads(key[1]) == "args":
            begin = key.end()
        position = end
    return begin


def _reads_alike(row: bytes, changed: bytes) -> bool:
    """Whether a row that had to be repaired is understood as it was."""
    return _facts(row) == _facts(changed)


def _facts(row: bytes) -> list[str]:
    events = decode_rows(row, whole=True, at=0, stats=ReadStats()).events
    return [repr((e.ph, e.cat, e.name, e.pid, e.tid, e.ts, e.dur, e.args is None)) for e in events]
