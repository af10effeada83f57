"""`traceanalyze report`: any trace in, a page and a summary out."""

from __future__ import annotations

import os
import shlex
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import replace

import click
import msgspec

from traceanalyzer.cli import completion
from traceanalyzer.cli.bar import reading
from traceanalyzer.cli.lean import lean
from traceanalyzer.cli.output import FORMATS, SUFFIXES, Target, refuse_overwrite, targets, write
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Job
from traceanalyzer.records.notice import DAMAGE

FAILED = 2  # exit code of --strict where a file failed


class ReportRequest(msgspec.Struct, frozen=True):
    """The options of one `report` command, parsed."""

    traces: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    default_page: str | None = None  # where the page goes without outputs; else named after the trace
    format: str | None = None
    force: bool = False
    top: int | None = None
    redact: bool = False
    stack: bool = False
    open: bool = False
    strict: bool = False
    next: bool = False  # whether to say which command comes next
    verbosity: int = 0  # -1 quiet, 0 summary, 1 with more rows
    options: AnalyzeOptions = AnalyzeOptions(kernels=False)


@click.command()
@click.argument(
    "traces", nargs=-1, required=True, metavar="TRACE|DIR|REPORT.json ...", shell_complete=completion.files
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="OUT",
    help=f"Write here (repeats); the suffix is the format: {SUFFIXES}; - is stdout.",
    shell_complete=completion.files,
)
@click.option("--format", "format_name", type=click.Choice(FORMATS), help="Format where no suffix gives it.")
@click.option(
    "--steps",
    default="complete",
    show_default=True,
    metavar="complete|all|A-B",
    help="Which steps to analyze, by the numbers of ProfilerStep#N (or of --steps-by, from 0).",
)
@click.option(
    "--steps-by",
    envvar=["TRACEANALYZE_STEPS_BY", "TRACEANALYZE_REPORT_STEPS_BY"],
    metavar="PATTERN",
    help="Annotations that are the steps: a text in their names, or a regular expression.",
)
@click.option(
    "--assume-dtype",
    metavar="PREC",
    help="Type of inputs that the trace records without one, as torch 1.8 did: fp32, bf16, ...",
)
@click.option(
    "--device",
    metavar="NAME",
    help="Take this accelerator's roofs (see `traceanalyze devices`).",
    shell_complete=completion.devices,
)
@click.option(
    "--device-file",
    type=click.Path(dir_okay=False),
    metavar="F.toml",
    help="Roofs from a file, in the format of the shipped table.",
)
@click.option(
    "--peak",
    "peaks",
    multiple=True,
    metavar="[ENGINE:]PREC=FLOPS",
    help="Set one dense peak, e.g. bf16=989T or vector:fp32=67T; fp32 and fp64 alone are a GPU's "
    "vector engine's. Repeats.",
)
@click.option("--bandwidth", metavar="BYTES", help="Set the memory bandwidth, e.g. 3.35TB/s.")
@click.option(
    "--link", metavar="BYTES", help="Bandwidth between ranks, one way, e.g. 450GB/s (several files)."
)
@click.option("--rank", type=int, metavar="R", help="Which rank is shown on top (several files).")
@click.option("--ranks", metavar="R,A-B", help="Read the files of these ranks only, e.g. 0,8,16-23.")
@click.option("--gpu", type=int, metavar="I", help="Which device index is shown on top.")
@click.option(
    "--what-if",
    "what_if",
    metavar="NAMES",
    help="Project the step onto other devices, e.g. h200-sxm,b200; or device files.",
    shell_complete=completion.devices,
)
@click.option(
    "--capture",
    type=click.Path(dir_okay=False),
    metavar="F",
    help="A trace of the same step without graphs: it provides the shapes of replayed kernels.",
)
@click.option(
    "--cost-file",
    "cost_files",
    multiple=True,
    type=click.Path(dir_okay=False),
    metavar="F.py",
    help="Formulas of your own, see docs/cost-model.md. It is code, and is run. Repeats.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=X",
    help="Set a limit behind the verdicts, e.g. efficiency=0.5. Repeats.",
    shell_complete=completion.limits,
)
@click.option(
    "--critical-path",
    is_flag=True,
    help="What the shown step waited for, by HolisticTraceAnalysis: pip install 'torch-traceanalyzer[hta]'.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    envvar=["TRACEANALYZE_JOBS", "TRACEANALYZE_REPORT_JOBS"],
    metavar="N",
    help="Files analyzed at once; by default as many as cores and memory allow.",
)
@click.option(
    "--scheduler",
    envvar=["TRACEANALYZE_SCHEDULER", "TRACEANALYZE_REPORT_SCHEDULER"],
    metavar="tcp://HOST:8786",
    help="Let the workers of this Dask cluster read the files.",
)
@click.option(
    "--strict",
    is_flag=True,
    envvar=["TRACEANALYZE_STRICT", "TRACEANALYZE_REPORT_STRICT"],
    help="Exit 2 where one of several files failed; the report of the others is written.",
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Rows in the tables.")
@click.option("--stack", is_flag=True, help="Name the functions in rows, too: file and line.")
@click.option("--redact", is_flag=True, help="Leave out absolute paths, host and user names.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option("--next", "next_command", is_flag=True, hidden=True, help="Say what to type next.")
@click.option("-v", "--verbose", is_flag=True, help="More rows in the summary.")
@click.option("-q", "--quiet", is_flag=True, help="No summary; only what is wrong with the input.")
def command(
    traces: tuple[str, ...], outputs: tuple[str, ...], format_name: str | None, steps: str,
    steps_by: str | None, assume_dtype: str | None, device: str | None, device_file: str | None,
    peaks: tuple[str, ...],
    bandwidth: str | None, link: str | None, rank: int | None, ranks: str | None, gpu: int | None,
    what_if: str | None, capture: str | None, cost_files: tuple[str, ...], settings: tuple[str, ...],
    critical_path: bool, jobs: int | None, scheduler: str | None, strict: bool, top: int | None,
    stack: bool, redact: bool, open_page: bool, force: bool, next_command: bool, verbose: bool, quiet: bool,
) -> None:  # fmt: skip
    """Report the memory-bound share of the runtime, the ops behind it, and how surely it is known.

    TRACE is a .json or .json.gz written by torch.profiler (- reads stdin), DIR a folder of them
    (one for each rank), REPORT.json an earlier `-o report.json`, which is rendered again. Patterns,
    URLs (https, s3, gs, hf) and archives (.tar, .tar.gz, .zip) name traces as well.
    """
    run(ReportRequest(
        traces=traces, outputs=outputs, format=format_name, force=force, top=top, redact=redact,
        stack=stack, open=open_page, strict=strict, next=next_command, verbosity=int(verbose) - int(quiet),
        options=AnalyzeOptions(
            steps=steps, steps_by=steps_by, assume_dtype=assume_dtype, device=device,
            device_file=device_file, peaks=peaks,
            bandwidth=bandwidth, link=link, rank=rank, ranks=ranks, gpu=gpu, settings=settings,
            capture=capture, cost_files=cost_files, critical_path=critical_path, jobs=jobs,
            scheduler=scheduler, kernels=False,
            what_if=tuple(name.strip() for name in what_if.split(",")) if what_if else (),
        ),
    ))  # fmt: skip


@lean()
def run(request: ReportRequest) -> None:
    """Analyze, render, write, summarize. Errors: TraceAnalyzerError."""
    from traceanalyzer.report import content, redacted
    from traceanalyzer.report.code_view import without_code_places
    from traceanalyzer.report.target import check_content

    wanted = targets(request.outputs, request.format, request.traces[0], request.default_page)
    refuse_overwrite(wanted, request.traces, force=request.force)
    analysis = _analysis(request, wanted)
    for target in wanted:
        check_content(analysis, target.path, target.format)
    if request.redact:
        analysis = redacted(analysis)
    brief = analysis if request.stack else without_code_places(analysis)
    for target in wanted:
        shown = brief if target.format in ("md", "txt") else analysis
        write(target, content(shown, target.format, top=request.top))
    if request.verbosity < 0:
        _say_damage(analysis)
    else:
        _summarize(brief, request)
        for target in wanted:
            if target.path is not None:
                click.echo(f"traceanalyze: wrote {target.path}", err=True)
        if request.next:
            _say_next(analysis, request.traces[0])
    if request.open:
        page = next((t.path for t in wanted if t.format == "html" and t.path is not None), None)
        if page is not None:
            webbrowser.open(page.resolve().as_uri())
    if request.strict and any(notice.code == "rank_failed" for notice in analysis.source.warnings):
        raise click.exceptions.Exit(FAILED)


def _summarize(analysis: Job, request: ReportRequest) -> None:
    from traceanalyzer.report.terminal import summary

    rows = request.top or (20 if request.verbosity else 5)
    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ or bool(os.environ.get("FORCE_COLOR"))
    click.echo(summary(analysis, width=_width(), color=color, top=rows), err=True, color=color)


def _say_next(analysis: Job, trace: str) -> None:
    from traceanalyzer.report.context import next_commands

    commands = next_commands(analysis) or (f"traceanalyze report {shlex.quote(trace)} -v",)
    click.echo(f"traceanalyze: next: {', or '.join(commands)}", err=True)


def _say_damage(analysis: Job) -> None:
    """A line for each thing that is wrong with the input, also where no summary is wanted."""
    source = analysis.source
    if source.salvaged is not None:
        kept, dropped = source.salvaged.kept_events, source.salvaged.dropped_events
        click.echo(f"traceanalyze: warning: {source.files[0].path}: is damaged: {kept:,} events were kept, "
                   f"{dropped:,} lost", err=True)  # fmt: skip
    for notice in source.warnings:
        if notice.code in DAMAGE:
            message = " ".join(notice.message.split())
            click.echo(f"traceanalyze: warning: {notice.code}: {message}", err=True)


def _analysis(request: ReportRequest, wanted: Sequence[Target]) -> Job:
    """Analyze the traces, or read a saved report back. Kernels are kept where they are written."""
    from traceanalyzer.analyzing import analyze

    kernels = any(target.format == "kernels.parquet" for target in wanted)
    given = [*request.traces, *([request.options.capture] if request.options.capture else [])]
    with reading(given) as progress:
        return analyze(request.traces, options=replace(request.options, kernels=kernels), progress=progress)


def _width() -> int:
    """Columns to write for: the terminal's, 80 where there is none."""
    if not sys.stderr.isatty():
        return 80
    return max(60, min(os.get_terminal_size(sys.stderr.fileno()).columns, 120))
