"""Devices that the user names, describes in a file, corrects on the command line, or has measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from traceanalyzer.device.names import normalized, words_of
from traceanalyzer.device.table import ENGINES, PRECISIONS, DeviceSpec, device_specs, parse
from traceanalyzer.records import CpuRoofs, Device, Engine, Peak
from traceanalyzer.records.errors import DeviceError
from traceanalyzer.records.spelling import did_you_mean, spelled_alike
from traceanalyzer.records.units import parse_quantity, si

_VECTOR_FIRST = ("fp32", "fp64")  # `--peak fp32=67T`: what is meant without an engine


def named(name: str) -> Device:
    """The device of `--device`; DeviceError lists what is close."""
    spec = spec_named(name)
    return spec.device(how="flag", provenance=f"{spec.id}, given with --device. {spec.origin()}")


def spec_named(name: str) -> DeviceSpec:
    """The part with this id or this whole name; case does not matter.

    "NVIDIA H100" in a trace is one product, but a user who types it means any H100: a part whose bandwidth is
    not known is found by its id only.
    """
    wanted = normalized(name)
    same_id = [spec for spec in device_specs() if spec.id == wanted]
    same_name = [
        spec for spec in device_specs()
        if spec.bandwidth_bytes_per_s and wanted in map(normalized, spec.names)
    ]  # fmt: skip
    if same_id or len(same_name) == 1:
        return (same_id or same_name)[0]
    fix = did_you_mean(_close(name), "use a name that `traceanalyze devices` lists, or --device-file F.toml")
    raise DeviceError(f"device {name!r}: names no one device of the table", fix=fix)


def _close(name: str) -> list[str]:
    """Ids of the parts with all words of `name`, then of those spelled alike, whole or in their first word:
    `h10` is like that of all H100; at most six. A part that has a bandwidth stands before one that has none.
    """
    wanted = words_of(name)
    specs = sorted(device_specs(), key=lambda spec: not spec.bandwidth_bytes_per_s)
    spoken = [p.id for p in specs if wanted and any(wanted <= words_of(n) for n in (p.id, *p.names))]
    ids_of: dict[str, list[str]] = {}
    for spec in specs:
        for text in (spec.id.partition("-")[0], spec.id, *map(normalized, spec.names)):
            ids_of.setdefault(text, []).append(spec.id)
    alike = [each for text in spelled_alike(normalized(name), ids_of, most=5) for each in ids_of[text]]
    return list(dict.fromkeys(spoken + alike))[:6]


def from_file(path: str) -> Device:
    """The one device described in a TOML file with the keys of specs.toml."""
    return described(spec_from_file(path), path)


def described(spec: DeviceSpec, path: str) -> Device:
    """The device of a part that the file `path` describes."""
    origin = "measured on it" if spec.calibrated else "described"
    provenance = f"{spec.id}, {origin} in {path}. {spec.origin()}"
    return spec.device(how="calibrated" if spec.calibrated else "file", provenance=provenance)


def spec_from_file(path: str) -> DeviceSpec:
    """The one block of a device file; DeviceError where there is none or more."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DeviceError(f"{path}: cannot be read ({why})", fix="give --device-file a TOML file") from None
    specs = parse(text, path)
    if len(specs) > 1:
        raise DeviceError(f"{path}: describes {len(specs)} devices", fix="leave one [[device]] block in it")
    return specs[0]


def override(device: Device, peaks: Sequence[str], bandwidth: str | None) -> Device:
    """`device` with the user's figures: peaks as "[ENGINE:]PREC=FLOPS", bandwidth as "3.35TB/s".

    Without an engine, fp32 and fp64 are a GPU's vector engine's, every other precision its matrix engine's;
    a CPU computes both on one engine. On an unknown device these figures are the device.
    """
    if not peaks and bandwidth is None:
        return device
    given = [peak for text in peaks for peak in _peaks(text, device.kind)]
    table = {(p.engine, p.precision): p for p in device.peaks}
    table |= {(p.engine, p.precision): p for p in given}
    rate = device.bandwidth_bytes_per_s if bandwidth is None else _quantity("--bandwidth", bandwidth)
    said = [f"{p.engine} {p.precision} {si(p.flop_per_s, 'FLOP/s')}" for p in given]
    said += [] if bandwidth is None else [f"bandwidth {si(_quantity('--bandwidth', bandwidth), 'B/s')}"]
    unknown = device.how == "unknown"
    before = "not in the table" if unknown else device.provenance
    return msgspec.structs.replace(
        device,
        how="flag",
        confidence="given by the user" + ("" if unknown else f", the rest {device.confidence}"),
        peaks=tuple(table.values()),
        bandwidth_bytes_per_s=rate,
        provenance=f"Given on the command line: {', '.join(said)}. {before.rstrip('.')}.",
    )


def _peaks(text: str, device_kind: str) -> list[Peak]:
    target, equals, value = text.partition("=")
    first, colon, last = target.strip().lower().partition(":")
    precision = last if colon else first
    usual: Engine = "vector" if precision in _VECTOR_FIRST else "matrix"
    alone: tuple[Engine, ...] = (usual,) if device_kind == "gpu" else ENGINES
    engines = tuple(engine for engine in ENGINES if engine == first) if colon else alone
    if not equals or precision not in PRECISIONS or not engines:
        raise DeviceError(
            f"--peak {text}: is not [ENGINE:]PREC=FLOPS",
            fix=f"write --peak bf16=989T or --peak vector:fp32=67T; precisions are {', '.join(PRECISIONS)}",
        )
    rate = _quantity(f"--peak {precision}", value)
    return [Peak(engine, precision, rate) for engine in engines]


_MIN_RATE = 1e6  # bytes or FLOPs a second


def _quantity(option: str, text: str) -> float:
    try:
        value = parse_quantity(text)
    except ValueError as error:
        raise DeviceError(f"{option}: {error}", fix="write a rate such as 3.35TB/s or 989T") from None
    if not 0 < value < float("inf"):
        raise DeviceError(f"{option}: {text} is not above 0", fix="write a rate such as 3.35TB/s or 989T")
    if value < _MIN_RATE:
        raise DeviceError(f"{option}: {text} is {value:g} a second, and no device is so slow",
                          fix="write the unit too, such as 3.35TB/s or 989T")  # fmt: skip
    return value


def link_rate(text: str | None) -> float | None:
    """Bytes a second of `--link`; DeviceError where it is no rate."""
    return None if text is None else _quantity("--link", text)


def cpu(roofs: CpuRoofs | None, name: str | None = None) -> Device:
    """The CPU a trace was recorded on: its measured roofs where the recording has them, else none."""
    if roofs is None:
        return Device(
            id="cpu",
            name=name or "CPU",
            kind="cpu",
            how="unknown",
            confidence="unknown",
            provenance="a CPU trace stores no roofs of its machine, so nothing is compared with one: give "
            "what was measured there, as --bandwidth 50GB/s --peak fp32=2T, or as the --device-file that "
            "`traceanalyze calibrate` writes there",
        )
    return Device(
        id="cpu",
        name=roofs.name or name or "CPU",
        kind="cpu",
        how="calibrated",
        confidence="measured",
        bandwidth_bytes_per_s=roofs.bandwidth_bytes_per_s,
        peaks=roofs.peaks,
        provenance=_measured(roofs),
    )


def _measured(roofs: CpuRoofs) -> str:
    """When and with how many threads, in one sentence."""
    threads = f" with {roofs.threads} threads" if roofs.threads else ""
    if roofs.file is not None:
        return f"Measured{threads} by memory streams and matmuls, and given to the recording in {roofs.file}."
    when = f"on {roofs.kept_from}, and kept" if roofs.kept_from else "right after the run"
    return f"Measured on the recording machine{threads} by memory streams and matmuls, {when}."
