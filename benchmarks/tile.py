"""Makes a large trace of a small one: its events again and again, one after the other in time.

`python benchmarks/tile.py SOURCE TARGET SIZE` writes a trace of about SIZE (`100MB`, `1GB`). Each copy has
times, ids and step numbers of its own, so that nothing in it can be mistaken for another copy's; all other
text is the source's to the byte. Memory is that of the source, whatever the target's size.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from traceanalyzer.records.units import parse_quantity

# Numbers that must differ between copies. All ids move by one stride, since one may refer to another's.
_IDS = rb"id|correlation|[Ee]xternal [Ii]d|Python id|Python parent id|wait_on_cuda_event_record_corr_id"
_KEYS = rb"(?P<time>ts)|(?P<id>" + _IDS + rb")|(?P<index>Ev Idx)|(?P<sequence>Sequence number)"
_MOVED = re.compile(
    rb'"(?:' + _KEYS + rb')"\s*:\s*(?P<number>\d{1,18})(?=[.,\s}])'
    rb'|(?P<step>"name"\s*:\s*"ProfilerStep#)(?P<count>\d{1,9})(?=")'
)
_KINDS = ("time", "id", "index", "sequence", "count")
_BLOCK = 2000  # events filled in at once
_GAP_US = 1000
_BETWEEN = b",\n  "


class _Place(msgspec.Struct, gc=False):
    """What decides where an event goes: into each copy, or once into the head."""

    ph: str = ""
    cat: str = ""
    ts: float | int | None = None
    dur: float | int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """The text of some events with holes, and what goes into the holes of copy k: `first + k * stride`."""

    text: bytes
    first: np.ndarray
    stride: np.ndarray

    def copy(self, k: int) -> bytes:
        return self.text % tuple((self.first + k * self.stride).tolist())


def tile(source: str, target: Path, size: float) -> int:
    """Write about `size` bytes, in whole copies and at least one; returns their number."""
    keys = msgspec.json.decode(_text(source), type=dict[str, msgspec.Raw])
    raw = [bytes(event) for event in msgspec.json.decode(keys.pop("traceEvents"), type=list[msgspec.Raw])]
    places = [msgspec.json.decode(event, type=_Place) for event in raw]
    tiled = [place.ph != "M" and place.cat != "Trace" and place.ts is not None for place in places]
    blocks = list(_blocks([e for e, t in zip(raw, tiled, strict=True) if t], _span_us(places)))
    copies = max(1, round(size / sum(len(block.copy(0)) for block in blocks)))
    once = [event for event, t in zip(raw, tiled, strict=True) if not t]
    with target.open("wb") as out:
        out.write(b"{\n" + b"".join(b'"%s": %s,\n' % (k.encode(), bytes(v)) for k, v in keys.items()))
        out.write(b'"traceEvents": [\n  ' + _BETWEEN.join(once))
        between = _BETWEEN if once else b""
        for k in range(copies):
            for block in blocks:
                out.write(between + block.copy(k))
                between = _BETWEEN
        out.write(b"\n]}\n")
    return copies


def _text(path: str) -> bytes:
    data = Path(path).read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def _span_us(places: list[_Place]) -> int:
    """Whole microseconds from the first start to the last end, and a gap."""
    timed = [(p.ts, p.dur or 0) for p in places if p.ph == "X" and p.ts is not None and p.cat != "Trace"]
    return int(max(ts + dur for ts, dur in timed) - min(ts for ts, _ in timed)) + 1 + _GAP_US


def _blocks(events: list[bytes], span_us: int) -> Iterator[Block]:
    """The events as blocks; the strides are one more than the largest number of each kind."""
    largest = dict.fromkeys(_KINDS, 0)
    for event in events:
        for found in _MOVED.finditer(event):
            kind = _kind(found)
            largest[kind] = max(largest[kind], int(found["number"] or found["count"]))
    stride = {kind: number + 1 for kind, number in largest.items()} | {"time": span_us}
    for begin in range(0, len(events), _BLOCK):
        yield _block(_BETWEEN.join(events[begin : begin + _BLOCK]), stride)


def _block(text: bytes, stride: dict[str, int]) -> Block:
    found = list(_MOVED.finditer(text))
    parts, end = [], 0
    for hole in found:
        begin, stop = hole.span("count" if hole["step"] else "number")
        parts += [text[end:begin].replace(b"%", b"%%"), b"%d"]
        end = stop
    parts.append(text[end:].replace(b"%", b"%%"))
    return Block(
        b"".join(parts),
        np.array([int(hole["number"] or hole["count"]) for hole in found], np.int64),
        np.array([0 if _is_none(hole) else stride[_kind(hole)] for hole in found], np.int64),
    )


def _is_none(found: re.Match[bytes]) -> bool:
    """0 as an id or sequence number says that there is none."""
    return found["number"] == b"0" and _kind(found) in ("id", "sequence")


def _kind(found: re.Match[bytes]) -> str:
    return "count" if found["step"] else next(kind for kind in _KINDS if found[kind])


if __name__ == "__main__":
    made = tile(sys.argv[1], Path(sys.argv[2]), parse_quantity(sys.argv[3]))
    print(f"{sys.argv[2]}: {Path(sys.argv[2]).stat().st_size / 1e6:,.1f} MB, {made} copies")
