"""The table of devices: TOML blocks of our files and of the user's device files as checked records.

Base units: FLOP/s and byte/s, dense, fp32 accumulation. `specs.toml` documents the keys.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeGuard, get_args

import msgspec

from traceanalyzer.records import CpuFunction, Device, Engine, FunctionRate, Peak
from traceanalyzer.records.errors import DeviceError
from traceanalyzer.records.spelling import guess

PRECISIONS = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4")
ENGINES: tuple[Engine, ...] = ("vector", "matrix")
FILES = ("specs.toml", "geforce.toml", "workstation.toml", "others.toml")
_FIX = "see `traceanalyze devices NAME` for a block with every key"

How = Literal["trace", "inferred", "derived", "flag", "file", "calibrated", "unknown"]


class DeviceSpec(msgspec.Struct, frozen=True):
    """One block of our files or of a device file: dense peaks in FLOP/s, bandwidth in byte/s."""

    id: str
    names: tuple[str, ...] = ()  # deviceProperties[].name, whole
    vendor: str = ""
    generation: str = ""
    kind: Literal["gpu", "cpu"] = "gpu"
    compute_capability: str | None = None  # "9.0"; AMD: "gfx942"
    multiprocessors: int | None = None  # SMs or CUs
    memory_gb: tuple[float, ...] = ()  # as marketed; one entry a variant
    boost_clock_hz: float | None = None  # the peaks are derived from it
    memory_bus_bits: int | None = None
    bandwidth_bytes_per_s: float | None = None
    l2_bytes: int | None = None
    launch_floor_ns: int | None = None  # duration of a kernel or operator on one element
    peaks: tuple[Peak, ...] = ()
    confidence: str = "not stated"
    source: str = ""
    checked_with: tuple[str, ...] = ()
    note: str = ""
    calibrated: bool = False  # measured, not looked up
    rates: tuple[FunctionRate, ...] = ()  # of a CPU, measured
    write_allocate: bool | None = None  # a CPU reads lines before it overwrites them; None: not measured
    cache_bytes: int | None = None  # of a CPU, all last-level caches together
    threads: int | None = None  # of a CPU, with which it was measured; None: not stated

    def peak(self, engine: str, precision: str) -> float | None:
        """FLOP/s of (engine, precision), or None."""
        rates = (p.flop_per_s for p in self.peaks if p.engine == engine and p.precision == precision)
        return next(rates, None)

    def device(self, *, how: How, provenance: str, name: str | None = None) -> Device:
        """The part as the device of an analysis; `name` as the trace spells it."""
        return Device(
            id=self.id,
            name=name or (self.names[0] if self.names else self.id),
            kind=self.kind,
            how=how,
            confidence=self.confidence,
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s,
            l2_bytes=self.l2_bytes,
            multiprocessors=self.multiprocessors,
            peaks=self.peaks,
            provenance=provenance,
        )

    def origin(self) -> str:
        """Where the figures come from, in one sentence."""
        text = self.source or "no source stated"
        if self.checked_with:
            text += f"; agrees with {', '.join(self.checked_with)}"
        return f"{text}. {self.note}" if self.note else f"{text}."


@cache
def specs_of(file: str) -> tuple[DeviceSpec, ...]:
    """The parts of one of our files, of which the first has those of data centers: parsing takes its time."""
    text = resources.files("traceanalyzer.device").joinpath(file).read_text(encoding="utf-8")
    return parse(text, file)


def device_specs() -> tuple[DeviceSpec, ...]:
    """Every part the tool knows, in the order of our files."""
    return tuple(spec for file in FILES for spec in specs_of(file))


@cache
def with_id(part: str) -> DeviceSpec | None:
    """The shipped part of this id; files behind the one that has it are not read."""
    return next((spec for file in FILES for spec in specs_of(file) if spec.id == part), None)


def part_of(device: Device) -> DeviceSpec | None:
    """The shipped part that a device is; None of a CPU, for which no file need be read, and of others."""
    return with_id(device.id) if device.kind == "gpu" else None


def parse(text: str, file: str) -> tuple[DeviceSpec, ...]:
    """The blocks of a device file; DeviceError names the file, the place and the fix."""
    try:
        blocks = tomllib.loads(text).get("device")
    except tomllib.TOMLDecodeError as error:
        raise DeviceError(f"{file}: is not TOML ({error})", fix="fix the line it names") from None
    if not isinstance(blocks, list) or not blocks:
        raise DeviceError(f"{file}: has no [[device]] block", fix=f"start it with [[device]]; {_FIX}")
    return tuple(_spec(block, f"{file}: device {row + 1}") for row, block in enumerate(blocks))


def _spec(block: Any, where: str) -> DeviceSpec:
    if not isinstance(block, dict):
        raise DeviceError(f"{where}: is not a table", fix=f"write [[device]] in double brackets; {_FIX}")
    unknown = set(block) - _READERS.keys() - set(ENGINES)
    if unknown:
        keys = (*_READERS, *ENGINES)
        fix = guess(min(unknown), keys, f"use one of {', '.join(keys)}")
        raise DeviceError(f"{where}: unknown key {min(unknown)!r}", fix=fix)
    if not isinstance(block.get("id"), str) or not block["id"].strip():
        raise DeviceError(f"{where}: has no id", fix='add id = "my-gpu"')
    where = f"{where} ({block['id']})"
    fields: dict[str, Any] = {}
    for key, value in block.items():
        if key not in ENGINES:
            expected, accepts, convert = _READERS[key]
            if not accepts(value):
                raise DeviceError(f"{where}: {key} = {value!r} is not {expected}", fix=f"give {expected}")
            fields[key] = convert(value)
    fields["peaks"] = tuple(p for engine in ENGINES for p in _peaks(block.get(engine, {}), engine, where))
    return DeviceSpec(**fields)


def _peaks(table: Any, engine: Engine, where: str) -> list[Peak]:
    if not isinstance(table, dict):
        raise DeviceError(
            f"{where}: {engine} is not a table of peaks", fix=f"write {engine} = {{ fp32 = 19.5e12 }}"
        )
    for precision, value in table.items():
        if precision not in PRECISIONS:
            fix = guess(precision, PRECISIONS, f"use one of {', '.join(PRECISIONS)}")
            raise DeviceError(f"{where}: {engine}.{precision} is no precision", fix=fix)
        if not _positive(value):
            raise DeviceError(
                f"{where}: {engine}.{precision} = {value!r} is not a rate above 0",
                fix=f"give FLOP/s as a number, such as {engine}.{precision} = 19.5e12, or leave it out",
            )
    return [Peak(engine, precision, float(value)) for precision, value in table.items()]


def _positive(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _count(value: object) -> bool:
    return isinstance(value, int) and _positive(value)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(_positive(entry) for entry in value)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _are_rates(value: object) -> bool:
    return isinstance(value, dict) and all(
        function in get_args(CpuFunction) and isinstance(by_type, dict)
        and all(precision in PRECISIONS and _positive(rate) for precision, rate in by_type.items())
        for function, by_type in value.items()
    )  # fmt: skip


def _rates(value: dict[CpuFunction, dict[str, float]]) -> tuple[FunctionRate, ...]:
    return tuple(
        FunctionRate(function, precision, float(rate))
        for function, by_type in value.items() for precision, rate in by_type.items()
    )  # fmt: skip


# Key -> what it must be in words, a check of that, and the conversion to the field's type.
_READERS: dict[str, tuple[str, Any, Any]] = {
    "id": ("text", _text, str),
    "vendor": ("text", _text, str),
    "generation": ("text", _text, str),
    "kind": ('"gpu" or "cpu"', ("gpu", "cpu").__contains__, str),
    "names": ("a list of texts", _texts, tuple),
    "compute_capability": ("text", _text, str),
    "multiprocessors": ("a whole number above 0", _count, int),
    "memory_gb": ("a list of numbers above 0", _sizes, tuple),
    "boost_clock_hz": ("a number of Hz above 0", _positive, float),
    "memory_bus_bits": ("a whole number of bits above 0", _count, int),
    "bandwidth_bytes_per_s": ("a number of byte/s above 0", _positive, float),
    "l2_bytes": ("a whole number of bytes above 0", _count, int),
    "launch_floor_ns": ("a whole number of nanoseconds above 0", _count, int),
    "confidence": ("text", _text, str),
    "source": ("text", _text, str),
    "checked_with": ("a list of texts", _texts, tuple),
    "note": ("text", _text, str),
    "calibrated": ("true or false", _flag, bool),
    "write_allocate": ("true or false", _flag, bool),
    "cache_bytes": ("a whole number of bytes above 0", _count, int),
    "threads": ("a whole number above 0", _count, int),
    "rates": ("a table of functions, each with rates above 0 by precision", _are_rates, _rates),
}
