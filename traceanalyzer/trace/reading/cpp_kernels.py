"""Fused C++ loops whose names carry their buffers, as the collector has the compiler write them.

`graph_0_cpp_fused_gelu_2(float32[512,1024] -> float32[512,1024] @524288)` becomes the operator
`graph_0_cpp_fused_gelu_2` with dims, types and, as concrete inputs, "in", "out" and the elements of the
loops. A name of any other form is left as it is.
"""

from __future__ import annotations

import json
import re

import msgspec

from traceanalyzer.records.units import canonical_dtype
from traceanalyzer.trace.reading.events import Args, Event

_BUFFER = r"[a-z0-9_]+\[[0-9,]*\]"
_NAME = re.compile(rf"(\w*cpp_fused\w*)\(((?:{_BUFFER} )*)->((?: {_BUFFER})*) @([0-9]+)\)")


def annotated(event: Event) -> Event:
    """`event` itself, or the same with the name's annotation as arguments."""
    name = event.name
    if name is None or name[-1:] != ")" or "cpp_fused" not in name:
        return event
    match = _NAME.fullmatch(name)
    if match is None:
        return event
    plain, read, written, elements = match.groups()
    buffers = [*read.split(), *written.split()]
    marks = ["in"] * len(read.split()) + ["out"] * len(written.split())
    types = [text.partition("[")[0] for text in buffers]
    if any(canonical_dtype(text) is None for text in types):
        return msgspec.structs.replace(event, name=plain)
    args = msgspec.structs.replace(
        event.args or Args(),
        dims=_raw([json.loads(text[text.index("[") :]) for text in buffers] + [[]]),
        types=_raw([*types, "Scalar"]),
        concrete=_raw([*marks, elements]),
    )
    return msgspec.structs.replace(event, name=plain, args=args)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, separators=(",", ":")).encode())
