"""A part as the TOML block that --device-file reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

from traceanalyzer.device.table import ENGINES, DeviceSpec

_NUMBERS = (
    "multiprocessors", "boost_clock_hz", "memory_bus_bits", "bandwidth_bytes_per_s", "l2_bytes",
    "launch_floor_ns",
)  # fmt: skip


def toml_block(spec: DeviceSpec) -> str:
    """One [[device]] block; parsing it gives the same part again."""
    return "\n".join(("[[device]]", *_lines(spec))) + "\n"


def _lines(spec: DeviceSpec) -> Iterator[str]:
    yield f"id = {_text(spec.id)}"
    yield f"kind = {_text(spec.kind)}"
    for key in ("vendor", "generation", "compute_capability"):
        if getattr(spec, key):
            yield f"{key} = {_text(getattr(spec, key))}"
    if spec.names:
        yield f"names = [{', '.join(map(_text, spec.names))}]"
    if spec.memory_gb:
        yield f"memory_gb = [{', '.join(f'{size:g}' for size in spec.memory_gb)}]"
    for key in _NUMBERS:
        if getattr(spec, key) is not None:
            yield f"{key} = {_number(getattr(spec, key))}"
    for engine in ENGINES:
        peaks = [f"{p.precision} = {_number(p.flop_per_s)}" for p in spec.peaks if p.engine == engine]
        if peaks:
            yield f"{engine} = {{ {', '.join(peaks)} }}"
    yield f"confidence = {_text(spec.confidence)}"
    yield f"source = {_text(spec.source)}"
    if spec.checked_with:
        yield f"checked_with = [{', '.join(map(_text, spec.checked_with))}]"
    if spec.note:
        yield f"note = {_text(spec.note)}"
    if spec.calibrated:
        yield "calibrated = true"
    if spec.write_allocate is not None:
        yield f"write_allocate = {str(spec.write_allocate).lower()}"
    if spec.cache_bytes is not None:
        yield f"cache_bytes = {spec.cache_bytes}"
    if spec.threads is not None:
        yield f"threads = {spec.threads}"
    for function in dict.fromkeys(rate.function for rate in spec.rates):
        of_types = [f"{r.precision} = {_number(r.per_s)}" for r in spec.rates if r.function == function]
        yield f"rates.{function} = {{ {', '.join(of_types)} }}"


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
