"""Writing a captured trace atomically: the recording, then the profiler's own text, compressed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from traceanalyzer.files import replacing

_BLOCK = 1 << 20
_LEVEL = 4  # 15 times smaller; a higher level takes twice as long for some percent


def write(target: Path, raw: Path, sections: Mapping[str, str], unfinished: str | None = None) -> None:
    """`raw`, the JSON text of a trace, as `target`, with `sections`, JSON by top-level key, in front.

    The annotation `unfinished` is renamed, so that a step that was cut off does not pass for a whole
    one. OSError where it cannot be written; `target` is then what it was before.
    """
    head = "{" + "".join(f"{json.dumps(key)}:{text}," for key, text in sections.items())
    with replacing(target) as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
        packed.write(head.encode())
        with raw.open("rb") as text:
            _copy(text, packed, unfinished)


def _copy(text: BinaryIO, packed: gzip.GzipFile, unfinished: str | None) -> None:
    """All after the document's opening brace; blocks overlap by a name's length so that none is missed."""
    old = f'"{unfinished}"'.encode() if unfinished else b""
    new = f'"Unfinished {unfinished.partition("#")[2]}"'.encode() if unfinished else b""
    block = text.read(_BLOCK)
    rest = block[block.index(b"{") + 1 :]
    while block:
        block = text.read(_BLOCK)
        rest += block
        if old:
            rest = rest.replace(old, new)
        kept = min(len(old), len(rest)) if block else 0
        packed.write(rest[: len(rest) - kept])
        rest = rest[len(rest) - kept :]
