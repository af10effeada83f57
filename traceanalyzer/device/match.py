"""Match a trace's device with the table, by the name, memory size and multiprocessor count that it records.

A trace records no clock, bandwidth, cache size or MIG flag, so the name is matched whole and then confirmed
by the rest. What does not match stays unknown: no default, and never the device of the analyzing machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from traceanalyzer.device.derive import bandwidth, derived
from traceanalyzer.device.names import (
    adds_nothing,
    has_board_code,
    is_amd,
    may_be_cut,
    normalized,
    product_words,
    words_of,
)
from traceanalyzer.device.nearest import nearest, same_architecture
from traceanalyzer.device.table import FILES, DeviceSpec, How, device_specs, specs_of
from traceanalyzer.records import Device, GpuClocks, Notice, Peak
from traceanalyzer.records.judged import CpuFigures
from traceanalyzer.records.trace import DeviceProperties
from traceanalyzer.records.units import si

# totalGlobalMem in GiB against the marketed GB: GDDR parts reserve up to 8 % for ECC, HBM parts up to 2 %.
_MEMORY_RANGE = (0.90, 1.02)
_SLICE_TOLERANCE = (
    0.10  # a slice shrinks "in proportion" if memory and multiprocessors shrink alike to so much
)
_STACKED_BITS = 1024  # from here on HBM, whose clock some drivers report otherwise
_SAME_MEMORY = 0.03  # clocks round
_OPTIONS = (
    "--device NAME (see `traceanalyze devices`), --device-file FILE.toml, or both --bandwidth 3.35TB/s "
    "and --peak bf16=989T --peak vector:fp32=67T with this device's own dense figures"
)


class DeviceMatch(msgspec.Struct, frozen=True):
    """The device of an analysis, and the notices about how it was found."""

    device: Device
    warnings: tuple[Notice, ...] = ()
    launch_floor_ns: int | None = None  # measured on the device; None: taken from the trace's short kernels
    cpu: CpuFigures = CpuFigures()


def find(
    properties: DeviceProperties | None, *, amd: bool = False, clocks: GpuClocks | None = None
) -> DeviceMatch:
    """The part behind one entry of `deviceProperties`; None where the trace has no such entry.

    `clocks`: what the recording says of it besides, for parts that are not in the table.
    """
    if properties is None:
        return _unknown(None, "the trace has no deviceProperties", ())
    theirs = amd or properties.warp_size == 64 or is_amd(properties.name)
    clocks = None if theirs else clocks
    exact = _exactly(properties.name, amd=theirs)
    named = exact or _longest_contained(properties.name, _table(amd=theirs))
    agreeing = [spec for spec in named if _agrees(spec, properties)]
    if len(agreeing) > 1:
        return _common(agreeing, agreeing, properties)
    if agreeing:
        return _found(agreeing[0], properties, "trace" if exact else "inferred", clocks)
    for spec in named:
        if _is_slice(spec, properties):
            return _slice(spec, properties)
    return _by_properties(properties, _table(amd=theirs), clocks)


def _table(*, amd: bool) -> list[DeviceSpec]:
    return [spec for spec in device_specs() if (spec.vendor == "AMD") == amd]


def _exactly(name: str, *, amd: bool) -> list[DeviceSpec]:
    """The parts of just this name, all of which one file has."""
    for file in FILES:
        same = [spec for spec in specs_of(file) if normalized(name) in map(normalized, spec.names)]
        if same := [spec for spec in same if (spec.vendor == "AMD") == amd]:
            return same
    return []


def _longest_contained(name: str, table: Sequence[DeviceSpec]) -> list[DeviceSpec]:
    """The parts whose whole name stands in `name`, the longest such names only.

    The words besides it must be such as name no other product: "RTX 4090 Laptop GPU" is no RTX 4090.
    """
    sizes = {p.id: max(_contained_words(p, words_of(name)), default=0) for p in table}
    longest = max(sizes.values(), default=0)
    return [p for p in table if longest and sizes[p.id] == longest]


def _contained_words(spec: DeviceSpec, words: frozenset[str]) -> list[int]:
    """How many words the names of the part have that stand among these."""
    names = map(words_of, spec.names)
    return [len(name) for name in names if name <= words and adds_nothing(words - name)]


def _agrees(spec: DeviceSpec, properties: DeviceProperties) -> bool:
    """Nothing recorded speaks against the part; a MIG slice has to show its size."""
    count = properties.multiprocessors
    if count is None and "mig" in words_of(properties.name):
        return False
    return _memory_agrees(spec, properties.memory_bytes) and count in (None, spec.multiprocessors)


def _memory_agrees(spec: DeviceSpec, memory_bytes: int | None) -> bool:
    if memory_bytes is None or not spec.memory_gb:
        return True
    low, high = _MEMORY_RANGE
    return any(low <= memory_bytes / 2**30 / size <= high for size in spec.memory_gb)


def _is_slice(spec: DeviceSpec, properties: DeviceProperties) -> bool:
    """Fewer multiprocessors than the part has, and no more memory: MIG, a partition, a cut part."""
    count, memory = properties.multiprocessors, properties.memory_bytes
    if not may_be_cut(properties.name):
        return False
    if count is None or spec.multiprocessors is None or not 0 < count < spec.multiprocessors:
        return False
    return memory is None or not spec.memory_gb or memory / 2**30 <= _MEMORY_RANGE[1] * max(spec.memory_gb)


def _found(spec: DeviceSpec, properties: DeviceProperties, how: How, clocks: GpuClocks | None) -> DeviceMatch:
    evidence = "by its name" if how == "trace" else f"by the words of its name {properties.name!r}"
    recorded = {"memory": properties.memory_bytes, "multiprocessors": properties.multiprocessors}
    facts = [word for word, value in recorded.items() if value]
    evidence += f", confirmed by {' and '.join(facts)}" if facts else ", not confirmed by anything else"
    device = spec.device(
        how=how, provenance=f"{spec.id}, identified {evidence}. {spec.origin()}", name=properties.name
    )
    warnings = []
    if how == "inferred":
        message = f"{properties.name!r} is taken for a {spec.id}; if it is not, give --device NAME"
        warnings.append(Notice("device_inferred", message))
    if clocks and (rate := _recorded_bandwidth(spec, clocks)):
        text = f"{device.provenance} Its bandwidth is derived from the memory's clock and width as recorded."
        device = msgspec.structs.replace(device, bandwidth_bytes_per_s=rate, provenance=text)
    if device.bandwidth_bytes_per_s is None:
        message = f"no bandwidth is published for {properties.name!r}: verdicts need --bandwidth"
        warnings.append(Notice("no_bandwidth", message))
    return DeviceMatch(device, tuple(warnings))


def _recorded_bandwidth(spec: DeviceSpec, clocks: GpuClocks) -> float | None:
    """Of a part whose bandwidth is not known, or that is sold with faster and slower memory; else None."""
    rate, usual = bandwidth(clocks), spec.bandwidth_bytes_per_s
    if rate is None or usual is None:
        return rate
    several = spec.memory_bus_bits is not None and spec.memory_bus_bits < _STACKED_BITS
    return rate if several and not math.isclose(rate, usual, rel_tol=_SAME_MEMORY) else None


def _slice(spec: DeviceSpec, properties: DeviceProperties) -> DeviceMatch:
    """Compute by the share of multiprocessors; bandwidth only where memory shrank alike."""
    assert properties.multiprocessors and spec.multiprocessors  # _is_slice
    share = properties.multiprocessors / spec.multiprocessors
    memory = _memory_share(spec, properties.memory_bytes)
    alike = memory is not None and math.isclose(memory, share, rel_tol=_SLICE_TOLERANCE)
    scale = memory if alike and memory is not None else None
    rate, cache = spec.bandwidth_bytes_per_s, spec.l2_bytes
    scaled = replace(
        spec,
        multiprocessors=properties.multiprocessors,
        peaks=tuple(Peak(p.engine, p.precision, p.flop_per_s * share) for p in spec.peaks),
        bandwidth_bytes_per_s=rate * scale if rate and scale else None,
        l2_bytes=round(cache * scale) if cache and scale else None,
    )
    what = f"{properties.multiprocessors} of the {spec.multiprocessors} multiprocessors of a {spec.id}"
    band = (
        f"bandwidth scaled to its {scale:.0%} of the memory"
        if scale
        else "its bandwidth is not in the trace: give --bandwidth"
    )
    device = scaled.device(
        how="inferred",
        name=properties.name,
        provenance=f"{what}: peaks scaled by {share:.3f}, {band}. {spec.origin()}",
    )
    message = f"{properties.name!r} has {what}; compute is scaled, {band}"
    return DeviceMatch(device, (Notice("device_slice", message),))


def _memory_share(spec: DeviceSpec, memory_bytes: int | None) -> float | None:
    if memory_bytes is None or not spec.memory_gb:
        return None
    return memory_bytes / 2**30 / max(spec.memory_gb)


def _by_properties(
    properties: DeviceProperties, table: Sequence[DeviceSpec], clocks: GpuClocks | None
) -> DeviceMatch:
    """A name that says nothing or too little: everything else recorded must name the part."""
    telling = product_words(properties.name)
    fits = [
        p for p in table
        if _same_hardware(p, properties) and any(telling <= words_of(name) for name in p.names)
    ]  # fmt: skip
    if not fits:
        return _not_in_the_table(properties, table, clocks)
    # Only modules carry such codes, so of boards that differ in form alone it is the SXM part.
    taken = [p for p in fits if "sxm" in p.id] if has_board_code(properties.name) else fits
    return _common(taken or fits, fits, properties)


def _not_in_the_table(
    properties: DeviceProperties, table: Sequence[DeviceSpec], clocks: GpuClocks | None
) -> DeviceMatch:
    """Roofs from recorded clocks, or none and what to give."""
    near = nearest(properties, table)
    device = derived(properties, clocks)
    if device is None:
        said = f"the device calls itself {properties.name!r}" if properties.name else "the device has no name"
        return _unknown(properties, f"{said}, which is not in the table", near)
    message = (
        f"{device.name!r} is not in the table: its roofs are derived from its clocks and may be off by some "
        f"10 %, matrix peaks by a factor of 2.{_like(near)} Better: {_OPTIONS}"
    )
    return DeviceMatch(device, (Notice("device_derived", message),))


def _same_hardware(spec: DeviceSpec, properties: DeviceProperties) -> bool:
    """Memory, multiprocessors and compute capability are all recorded and all agree."""
    if properties.memory_bytes is None or properties.multiprocessors is None or not spec.memory_gb:
        return False
    theirs = properties.compute_capability
    return (theirs is None or same_architecture(spec, theirs)) and _agrees(spec, properties)


def _common(
    taken: Sequence[DeviceSpec], fits: Sequence[DeviceSpec], properties: DeviceProperties
) -> DeviceMatch:
    """What all that are taken have in common; where they differ there is no figure."""
    first = taken[0]
    alike = [all(p.peak(k.engine, k.precision) == k.flop_per_s for p in taken) for k in first.peaks]
    peaks = tuple(peak for peak, same in zip(first.peaks, alike, strict=True) if same)
    bands = {spec.bandwidth_bytes_per_s for spec in taken}
    name = first.id if all(alike) and len(bands) == 1 else "/".join(spec.id for spec in taken)
    rate = bands.pop() if len(bands) == 1 else None
    shared = replace(first, id=name, peaks=peaks, bandwidth_bytes_per_s=rate)
    ids = ", ".join(spec.id for spec in fits)
    said = properties.name or "no name"
    why = f"the trace says {said!r}; memory, multiprocessors and compute capability fit {ids}"
    provenance = f"{name}: {why}. {first.origin()}"
    device = shared.device(how="inferred", provenance=provenance, name=properties.name or name)
    rates = sorted({p.bandwidth_bytes_per_s for p in fits if p.bandwidth_bytes_per_s})
    if len(rates) < 2:
        return DeviceMatch(device)
    span = f"{si(rates[0], 'B/s')} to {si(rates[-1], 'B/s')} ({rates[-1] / rates[0] - 1:.0%} apart)"
    choice = f"{first.id} is taken" if device.bandwidth_bytes_per_s else "no bandwidth is taken"
    message = f"{why}, whose bandwidths are {span}: {choice}; give --device NAME to choose one"
    return DeviceMatch(device, (Notice("device_inferred", message),))


def _like(near: Sequence[DeviceSpec]) -> str:
    return f" Nearest in the table: {', '.join(p.id for p in near)}." if near else ""


def _unknown(properties: DeviceProperties | None, why: str, near: Sequence[DeviceSpec]) -> DeviceMatch:
    """No device: times and intensities stay, verdicts need one of the options named here."""
    message = f"{why}, so nothing is compared with a roof.{_like(near)} Give {_OPTIONS}."
    device = Device(
        id="unknown",
        name=properties.name if properties else "",
        kind="gpu",
        how="unknown",
        confidence="unknown",
        multiprocessors=properties.multiprocessors if properties else None,
        provenance=message,
    )
    return DeviceMatch(device, (Notice("no_device", message),))
