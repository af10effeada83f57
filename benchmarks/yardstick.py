"""The least that reading a trace can cost: decode its bytes into typed events and keep nothing.

`python benchmarks/yardstick.py TRACE ...` prints, for each file, the seconds of `decode_only`, those of
the reader, and their ratio, each the best of five.
"""

from __future__ import annotations

import gc
import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from traceanalyzer.trace.events import Event
from traceanalyzer.trace.reader import read
from traceanalyzer.trace.scan import BORDER, CLOSING

# Of 64 KiB to the whole file, this was fastest: objects of one block still lie in the caches when the
# next one reuses their memory. Decoding a 243 MB trace at once took twice as long.
_BLOCK = 1 << 18
_TAIL = 1 << 16  # the list of events is taken to close within the last bytes of the file


def decode_only(path: str) -> int:
    """Decode all events of a valid trace into the reader's own typed structs; returns their number.

    An honest lower bound: it knows where this file's events begin and end without looking at the
    rest, checks nothing, and drops each block at once.
    """
    text = Path(path).read_bytes()
    if text[:2] == b"\x1f\x8b":
        text = gzip.decompress(text)
    decode = msgspec.json.Decoder(list[Event]).decode
    position = text.index(b"[", text.index(b'"traceEvents"')) + 1
    last = max(found.start() for found in CLOSING.finditer(text, max(len(text) - _TAIL, position))) + 1
    events = 0
    while position < last:
        cut = last
        if position + _BLOCK < last:
            cut = _border(text, position, position + _BLOCK)
        events += len(decode(b"[" + text[position:cut] + b"]"))
        position = text.find(b"{", cut, last)
        position = last if position < 0 else position
    return events


def _border(text: bytes, begin: int, end: int) -> int:
    """The index behind the last row that ends between `begin` and `end`."""
    for window in (1 << 13, end - begin):
        borders = [found.start() for found in BORDER.finditer(text, max(begin, end - window), end)]
        if borders:
            return borders[-1] + 1
    raise ValueError(f"no border between rows from byte {begin} to {end}")


def _best(function: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main(paths: list[str]) -> None:
    gc.disable()
    for path in paths:
        decoded = _best(lambda path=path: decode_only(path))  # type: ignore[misc]
        whole = _best(lambda path=path: read(path))  # type: ignore[misc]
        print(f"{path}: decode {decoded:.3f} s, read {whole:.3f} s, ratio {whole / decoded:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
