"""The parts of the table that are most like an unknown one: same vendor and generation, about its size."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from traceanalyzer.device.names import normalized
from traceanalyzer.device.table import DeviceSpec
from traceanalyzer.records.spelling import spelled_alike
from traceanalyzer.records.trace import DeviceProperties

_MOST = 3
_CLOSE = 0.5  # of the spelling: names of one vendor's parts have much in common
_FAR = log(2)  # a part of half or twice the size is not near


def nearest(properties: DeviceProperties, table: Sequence[DeviceSpec]) -> list[DeviceSpec]:
    """At most three, nearest first; none where nothing is near. `table`: the parts of its vendor."""
    family = [spec for spec in table if same_architecture(spec, properties.compute_capability)]
    distances = ((_apart(spec, properties), row) for row, spec in enumerate(family))
    ranked = sorted((apart, row) for apart, row in distances if apart is not None)
    near = [family[row] for apart, row in ranked if apart <= 2 * _FAR][:_MOST]
    return near or _spelled_alike(properties.name, family or table)


def same_architecture(spec: DeviceSpec, compute_capability: str | None) -> bool:
    """Whether the part is of this compute capability; False where it is not recorded."""
    return compute_capability is not None and architecture(spec) == compute_capability


def architecture(spec: DeviceSpec) -> str:
    """As deviceProperties has it: ROCm reports gfx942 as 9.4 and gfx1100 as 11.0."""
    code = spec.compute_capability or ""
    return f"{code[3:-2]}.{code[-2]}" if code.startswith("gfx") else code


def _apart(spec: DeviceSpec, properties: DeviceProperties) -> float | None:
    """By how much multiprocessors and memory differ, as logarithms of ratios; None: nothing to compare."""
    ours, theirs = spec.multiprocessors, properties.multiprocessors
    apart = [abs(log(ours / theirs))] if ours and theirs else []
    if properties.memory_bytes and spec.memory_gb:
        apart.append(min(abs(log(properties.memory_bytes / 2**30 / size)) for size in spec.memory_gb))
    return sum(apart) if apart else None


def _spelled_alike(name: str, table: Sequence[DeviceSpec]) -> list[DeviceSpec]:
    spec_of = {normalized(n): spec for spec in table for n in spec.names}
    close = spelled_alike(normalized(name), spec_of, most=_MOST, close=_CLOSE)
    return list({spec_of[text].id: spec_of[text] for text in close}.values())
