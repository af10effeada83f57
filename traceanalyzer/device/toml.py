"""A part as the TOML block that --device-file reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

from traceanalyzer.device.table import ENGINES, Part


def toml_block(part: Part) -> str:
    """One [[device]] block; parsing it gives the same part again."""
    return "\n".join(("[[device]]", *_lines(part))) + "\n"


def _lines(part: Part) -> Iterator[str]:
    yield f"id = {_text(part.id)}"
    yield f"kind = {_text(part.kind)}"
    for key in ("vendor", "generation", "compute_capability"):
        if getattr(part, key):
            yield f"{key} = {_text(getattr(part, key))}"
    if part.names:
        yield f"names = [{', '.join(map(_text, part.names))}]"
    if part.memory_gb:
        yield f"memory_gb = [{', '.join(f'{size:g}' for size in part.memory_gb)}]"
    for key in ("multiprocessors", "bandwidth_bytes_per_s", "l2_bytes", "launch_floor_ns"):
        if getattr(part, key) is not None:
            yield f"{key} = {_number(getattr(part, key))}"
    for engine in ENGINES:
        peaks = [f"{p.precision} = {_number(p.flop_per_s)}" for p in part.peaks if p.engine == engine]
        if peaks:
            yield f"{engine} = {{ {', '.join(peaks)} }}"
    yield f"confidence = {_text(part.confidence)}"
    yield f"source = {_text(part.source)}"
    if part.checked_with:
        yield f"checked_with = [{', '.join(map(_text, part.checked_with))}]"
    if part.note:
        yield f"note = {_text(part.note)}"
    if part.calibrated:
        yield "calibrated = true"


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are among TOML's, except for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: float) -> str:
    """Exact and readable: 3350000000000.0 as 3.35e12."""
    if isinstance(value, int):
        return str(value)
    mantissa, _, exponent = f"{value:e}".partition("e")
    short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return short if float(short) == value else repr(value)
