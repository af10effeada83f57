"""`traceanalyze calibrate`: measures the device here; leaves a file for --device-file."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import completion
from traceanalyzer.cli.output import Target, refuse_overwrite, write

if TYPE_CHECKING:
    from traceanalyzer.device.calibrate import Calibration

_WIDTH = 80


@click.command()
@click.option(
    "-o",
    "--output",
    metavar="F.toml",
    help="Write here (- is stdout); by default <device>.device.toml in the current folder.",
    shell_complete=completion.files,
)
@click.option("--cpu", is_flag=True, help="Measure the CPU, also where there is a GPU.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=1),
    help="Of a CPU: with N threads, as the script has them; by default PyTorch's own number.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("-q", "--quiet", is_flag=True, help="No table.")
def command(output: str | None, cpu: bool, threads: int | None, force: bool, quiet: bool) -> None:
    """Measure the roofs of this machine's GPU (without one, or with --cpu: of the CPU).

    Some seconds of memory streams and matmuls, on a machine that should do nothing else
    meanwhile. The file holds the roofs for `report --device-file`. Needs PyTorch.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its log lines on stderr do not concern the roofs
    from traceanalyzer.device import toml_block
    from traceanalyzer.device.calibrate import measure_cpu, processor, slug
    from traceanalyzer.device.calibrate_gpu import gpu_name, measure_gpu

    gpu = None if cpu or threads else gpu_name()
    name = gpu or processor()
    path = None if output == "-" else Path(output or f"{slug(name)}.device.toml")
    target = Target(path, "toml", chosen=True)
    refuse_overwrite([target], (), force=force)
    if sys.stderr.isatty() and not quiet:
        click.echo(f"traceanalyze: measuring {name}: a few seconds", err=True)
    measured = measure_gpu() if gpu else measure_cpu(threads)
    write(target, toml_block(measured.spec))
    if quiet:
        return
    for line in table(measured):
        click.echo(line, err=True)
    if path is not None:
        click.echo(f"traceanalyze: wrote {path}", err=True)
        following = f"traceanalyze report TRACE --device-file {quote(str(path))}"
        click.echo(f"traceanalyze: next: {following}", err=True)


def table(measured: Calibration) -> Iterator[str]:
    """What was measured, in 80 columns: the roof, then what it is made of."""
    from traceanalyzer.records.units import duration, si

    spec = measured.spec
    bandwidth = measured.streams[0].per_s
    threads = f", {measured.threads} threads" if measured.threads else ""
    yield f"{spec.names[0]}{threads}"
    others = ", ".join(f"{rate.what} {si(rate.per_s, 'B/s')}" for rate in measured.streams[1:])
    yield from _line("memory", si(bandwidth, "B/s"), f"{measured.streams[0].what}; {others}")
    for peak, what in measured.matmuls:
        ridge = f"ridge {peak.flop_per_s / bandwidth:.3g} FLOP/byte"
        yield from _line(f"{peak.precision} matmul", si(peak.flop_per_s, "FLOP/s"), f"{what}; {ridge}")
    if spec.launch_floor_ns is not None:
        yield from _line("launch floor", duration(spec.launch_floor_ns), "addition of one element")
    again = " Then roofs are too low: measure again when it is idle." if measured.busy is not None else ""
    yield from textwrap.wrap(spec.note + again, _WIDTH)


def _line(label: str, value: str, more: str) -> list[str]:
    return textwrap.wrap(f"{label:13} {value:>13}  {more}", _WIDTH, subsequent_indent=" " * 29)
