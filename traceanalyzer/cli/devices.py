"""`traceanalyze devices [NAME]`: the table of roofs, or everything known of one device."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import completion

if TYPE_CHECKING:
    from traceanalyzer.device import DeviceSpec
    from traceanalyzer.records import Peak

_WIDTH = 80
# One flagship a generation, by the year of its announcement: what the memory wall is made of.
_WALL = (
    (2016, "p100-sxm2"),
    (2017, "v100-sxm2"),
    (2020, "a100-sxm4-40gb"),
    (2022, "h100-sxm5"),
    (2024, "b200"),
)
_COLUMNS = ("GB", "TB/s", "fp32", "tf32", "16-bit", "fp8", "ridge", "trust")
_WIDTHS = (-22, 5, 6, 6, 6, 7, 6, 6, -6)  # negative: to the left


@click.command("devices")
@click.argument("name", required=False, shell_complete=completion.devices)
def command(name: str | None) -> None:
    """List the known accelerators: peaks, bandwidth, ridge, and the confidence of each.

    With NAME (an id or a device name as traces spell it): every figure, its source, and a block to
    copy for --device-file.
    """
    lines = _one(name) if name is not None else _all()
    for line in lines:
        click.echo(line, color=False if os.environ.get("NO_COLOR") else None)


def _all() -> Iterable[str]:
    from traceanalyzer.device import device_specs

    yield "Dense peaks in TFLOP/s with fp32 accumulation; 16-bit is bf16, else fp16;"
    yield "tf32, on AMD parts without it, is matrix fp32. Ridge: FLOP/byte at 16 bit."
    groups: dict[str, list[DeviceSpec]] = {}
    for spec in device_specs():
        groups.setdefault(f"{spec.vendor} {spec.generation}", []).append(spec)
    for title, members in groups.items():
        yield ""
        yield click.style(_line((title, *_COLUMNS)), bold=True)
        for spec in members:
            few = len(spec.memory_gb) <= 2
            sizes = "/".join(f"{size:g}" for size in spec.memory_gb) if few else f"{min(spec.memory_gb):g}+"
            yield _line((spec.id, sizes, *_roofs(spec), spec.confidence))
    yield ""
    yield from _wall()
    yield ""
    yield "One device, with its sources: traceanalyze devices NAME"


def _line(cells: Sequence[str]) -> str:
    padded = (c.ljust(-w) if w < 0 else c.rjust(w) for c, w in zip(cells, _WIDTHS, strict=True))
    return " ".join(padded).rstrip()


def _roofs(spec: DeviceSpec) -> tuple[str, ...]:
    """Bandwidth, four peaks and the ridge as text; a dash where there is none."""
    half = _half(spec)
    peaks = (
        spec.peak("vector", "fp32"),
        spec.peak("matrix", "tf32") or spec.peak("matrix", "fp32"),
        half,
        spec.peak("matrix", "fp8"),
    )
    rate = spec.bandwidth_bytes_per_s
    ridge = f"{half / rate:.0f}" if half and rate else "-"
    texts = (f"{peak / 1e12:.4g}" if peak else "-" for peak in peaks)
    return (f"{rate / 1e12:.4g}" if rate else "?", *texts, ridge)


def _half(spec: DeviceSpec) -> float | None:
    """The 16-bit peak a network trains at: matrix bf16, else matrix fp16."""
    return spec.peak("matrix", "bf16") or spec.peak("matrix", "fp16")


def _wall() -> Iterable[str]:
    """How compute outgrew bandwidth, one flagship a generation."""
    from traceanalyzer.device import spec_named

    yield click.style("The memory wall: 16-bit compute against bandwidth", bold=True)
    yield f"{'':22} {'year':>5} {'TFLOP/s':>8} {'TB/s':>6} {'FLOP/byte':>10}"
    ends = []
    for year, name in _WALL:
        spec = spec_named(name)
        half, rate = _half(spec) or spec.peak("vector", "fp16"), spec.bandwidth_bytes_per_s
        assert half and rate  # flagships have both
        ends.append((half, rate))
        yield f"{name:22} {year:>5} {half / 1e12:>8.4g} {rate / 1e12:>6.4g} {half / rate:>10.0f}"
    (first, slow), (last, fast) = ends[0], ends[-1]
    grown = f"compute grew {last / first:.0f} times, bandwidth {fast / slow:.0f} times"
    yield f"From {_WALL[0][0]} to {_WALL[-1][0]} {grown}."


def _one(name: str) -> Iterable[str]:
    from traceanalyzer.device import spec_named, toml_block
    from traceanalyzer.records.units import si

    spec = spec_named(name)
    rate = spec.bandwidth_bytes_per_s
    facts = [
        ("names in traces", ", ".join(spec.names)),
        ("kind", f"{spec.vendor} {spec.generation}, compute capability {spec.compute_capability}"),
        ("multiprocessors", str(spec.multiprocessors)),
        ("memory", " or ".join(f"{size:g} GB" for size in spec.memory_gb)),
        ("bandwidth", si(rate, "B/s", 4) if rate else "not published: give --bandwidth"),
        *((f"{p.engine} {p.precision}", _peak(p, rate)) for p in spec.peaks),
        ("confidence", spec.confidence),
        ("source", spec.source),
        ("agrees with", ", ".join(spec.checked_with) or "nothing independent"),
        ("note", spec.note or "-"),
    ]
    yield click.style(spec.id, bold=True)
    for label, text in facts:
        yield from textwrap.wrap(f"{label:17} {text}", _WIDTH, subsequent_indent=" " * 18)
    yield ""
    yield click.style("As a file for --device-file:", bold=True)
    yield toml_block(spec).rstrip()


def _peak(peak: Peak, rate: float | None) -> str:
    from traceanalyzer.records.units import si

    ridge = f", ridge {peak.flop_per_s / rate:.1f} FLOP/byte" if rate else ""
    return f"{si(peak.flop_per_s, 'FLOP/s', 4)}{ridge}"
