"""Where things end in JSON text: borders between rows, the end of the list, the end of any value."""

from __future__ import annotations

import re

from traceanalyzer.trace.reading.events import ROW_KEYS

# Between two rows: a `}` up to the next `{` whose first key is one that opens a row.
BORDER = re.compile(rb'\}\s*,\s*(?=\{\s*"(?:' + ROW_KEYS + rb')"\s*:)')
# The list's end: a `]` behind a row and before a key, the document's end, or nothing at all.
CLOSING = re.compile(rb'\}\s*,?\s*\](?=\s*,\s*(?:"|\Z)|\s*\}|\s*\Z)')
# Behind the last complete row of a text that breaks off.
FINAL = re.compile(rb"\s*(?:,|\Z)")
# A string counts as one only before what may follow it; a lone quote starts one that does not end well.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(?=\s*[,:\]}])|[\[{]|[\]}]|"', re.DOTALL)
_OPEN_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:\\?\Z|"\s*\Z)', re.DOTALL)
BROKEN = -1
_SCALAR = re.compile(rb"[^\s,\]}\"{\[]+")


def value_end(text: bytes, begin: int, limit: int | None = None) -> int | None:
    """The index behind the value that starts at `begin`; None where it runs off the end of the text.

    At `limit` the text counts as ended.

    Aware of strings, in which brackets mean nothing; BROKEN where a string is followed by what no string
    is followed by. A scalar that touches the end may go on there.
    """
    stop = len(text) if limit is None else limit
    if text[begin : begin + 1] not in (b'"', b"{", b"["):
        scalar = _SCALAR.match(text, begin, stop)
        return scalar.end() if scalar and scalar.end() < stop else None
    depth = 0
    for token in _TOKEN.finditer(text, begin, stop):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
            case b'"':
                return None if _OPEN_STRING.match(text, token.start(), stop) else BROKEN
        if depth <= 0:
            return token.end()
    return None
