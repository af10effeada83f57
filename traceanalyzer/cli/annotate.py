"""`traceanalyze annotate TRACE -o OUT`: the same trace with verdicts, costs and suggestions in it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import completion
from traceanalyzer.cli.lean import lean
from traceanalyzer.cli.output import Target, refuse_overwrite
from traceanalyzer.files import replacing
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.notice import DAMAGE

if TYPE_CHECKING:
    from traceanalyzer.annotate.copy import Write

_LEVEL = 2  # of gzip: a fifth larger than by default, in half the time
_ENDINGS = (".json", ".json.gz")


@click.command()
@click.argument("trace", shell_complete=completion.files)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="The new trace: a name in .json or .json.gz.",
    shell_complete=completion.files,
)
@click.option(
    "--steps", default="complete", show_default=True, metavar="complete|all|A-B", help="As for report."
)
@click.option("--steps-by", metavar="PATTERN", help="Annotations that are the steps, as for report.")
@click.option(
    "--device",
    metavar="NAME",
    help="Take this accelerator's roofs (see `traceanalyze devices`).",
    shell_complete=completion.devices,
)
@click.option("--device-file", type=click.Path(dir_okay=False), metavar="F.toml", help="Roofs from a file.")
@click.option("--peak", "peaks", multiple=True, metavar="[ENGINE:]PREC=FLOPS", help="As for report. Repeats.")
@click.option("--bandwidth", metavar="BYTES", help="Set the memory bandwidth, e.g. 3.35TB/s.")
@click.option(
    "--capture",
    type=click.Path(dir_okay=False),
    metavar="F",
    help="A trace of the same step without graphs: it provides the shapes of replayed kernels.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was written.")
@lean()
def command(
    trace: str, output: str, steps: str, steps_by: str | None, device: str | None, device_file: str | None,
    peaks: tuple[str, ...], bandwidth: str | None, capture: str | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Copy TRACE with what was found out about each kernel in its arguments: verdict, limiter, FLOPs, bytes,
    efficiency and roof time. Kernels are colored by verdict, FLOP/s and B/s become counter tracks, and each
    suggestion stands as an instant on its first kernel. All else stays as it is, byte for byte. On a CPU
    trace it is the operators. Opens in Perfetto and chrome://tracing.

    \b
    traceanalyze annotate trace.json.gz -o annotated.json.gz
    """
    from traceanalyzer.annotate.copy import copy_annotated
    from traceanalyzer.pipeline import annotations_of

    target = _target(trace, output, force=force)
    options = AnalyzeOptions(
        steps=steps, steps_by=steps_by, device=device, device_file=device_file, peaks=peaks,
        bandwidth=bandwidth, capture=capture, kernels=False,
    )  # fmt: skip
    devices, notices = annotations_of(trace, options)
    with _writing(target) as write:
        copy_annotated(trace, devices, write)
    for notice in dict.fromkeys((*notices, *(each for device in devices for each in device.warnings))):
        if notice.code in DAMAGE:
            click.echo(f"traceanalyze: warning: {notice.code}: {' '.join(notice.message.split())}", err=True)
    if not quiet:
        click.echo(f"traceanalyze: wrote {target}", err=True)


def _target(trace: str, output: str, *, force: bool) -> Path:
    """UsageError before any work where the trace cannot be read twice, or the file not be written."""
    if trace == "-":
        raise UsageError("-: a trace to annotate is read twice, which standard input cannot be",
                         fix="save it to a file first")  # fmt: skip
    if not output.endswith(_ENDINGS):
        raise UsageError(f"{output}: is no name for a trace", fix=f"end it in {' or '.join(_ENDINGS)}")
    target = Path(output)
    refuse_overwrite([Target(target, "json", chosen=True)], [trace], force=force)
    return target


@contextmanager
def _writing(target: Path) -> Iterator[Write]:
    """Into a temporary file beside the target, which then takes its name. UsageError where it cannot be."""
    try:
        with replacing(target) as file:
            if target.suffix != ".gz":
                yield file.write
                return
            with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                yield packed.write
    except OSError as error:
        raise UsageError(
            f"{target}: cannot be written ({error.strerror or error})",
            fix="give a file in a folder that can be written",
        ) from error
