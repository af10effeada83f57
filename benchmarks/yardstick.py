"""The least that reading a trace can cost: decode its bytes into typed events and keep nothing.

`python benchmarks/yardstick.py TRACE ...` prints, for each file, the seconds of `decode_only`, those of
the reader, and their ratio, each the best of seven.
"""

from __future__ import annotations

import gc
import gzip
import sys
import time
from collections.abc import Callable

import msgspec

from traceanalyzer.trace.reading.events import Event
from traceanalyzer.trace.reading.reader import read
from traceanalyzer.trace.reading.scan import BORDER, CLOSING

# Of 64 KiB to the whole file, blocks of this size were fastest: the objects of one block still lie in the
# caches when the next one reuses their memory. Decoding a 243 MB trace at once took twice as long.
_BLOCK = 1 << 18


def decode_only(path: str) -> int:
    """Decode all events of a valid trace into the reader's own typed structs; returns their number.

    An honest lower bound: it trusts the text to be in order, looks at nothing beside the events, and
    drops each block at once. Raises ValueError or DecodeError where the trust was misplaced.
    """
    decode = msgspec.json.Decoder(list[Event]).decode
    events = 0
    with open(path, "rb", buffering=0) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        read_block = gzip.GzipFile(fileobj=file).read if zipped else file.read
        text = read_block(_BLOCK)
        while b'"traceEvents"' not in text:
            text += read_block(_BLOCK)
        text = text[text.index(b"[", text.index(b'"traceEvents"')) + 1 :]
        while block := read_block(_BLOCK):
            text += block
            end, begin = _last_border(text)
            events += len(decode(b"[" + text[:end] + b"]"))
            text = text[begin:]
    last = max(found.start() for found in CLOSING.finditer(text))
    return events + len(decode(b"[" + text[: last + 1] + b"]"))


def _last_border(text: bytes) -> tuple[int, int]:
    for window in (1 << 13, len(text)):
        borders = [found.span() for found in BORDER.finditer(text, max(len(text) - window, 0))]
        if borders:
            return borders[-1][0] + 1, borders[-1][1]
    return 0, 0


def _seconds(function: Callable[[str], object], path: str) -> float:
    """Processor time, which a busy machine disturbs less than the clock."""
    start = time.process_time()
    function(path)
    return time.process_time() - start


def main(paths: list[str], times: int = 7) -> None:
    """Both in turn, so that neither has the quieter half of the machine's time; the best of each."""
    gc.disable()
    for path in paths:
        taken = [(_seconds(decode_only, path), _seconds(read, path)) for _ in range(times)]
        decoded, whole = (min(column) for column in zip(*taken, strict=True))
        print(f"{path}: decode {decoded:.3f} s, read {whole:.3f} s, ratio {whole / decoded:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
