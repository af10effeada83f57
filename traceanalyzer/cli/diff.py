"""`traceanalyze diff BASE HEAD`: what changed, by how much, how surely."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from traceanalyzer.cli import completion
from traceanalyzer.cli.lean import lean
from traceanalyzer.cli.output import refuse_overwrite, targets, trace_stem, write
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Comparison

BROKEN = 3  # exit code
FORMATS = ("html", "md", "json", "txt", "prom")


@click.command()
@click.argument("base", shell_complete=completion.files)
@click.argument("head", shell_complete=completion.files)
@click.option(
    "--base",
    "more_base",
    multiple=True,
    metavar="MORE",
    help="A further run of the base. Repeats.",
    shell_complete=completion.files,
)
@click.option(
    "--head",
    "more_head",
    multiple=True,
    metavar="MORE",
    help="A further run of the head. Repeats.",
    shell_complete=completion.files,
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="OUT",
    help=f"Write here (repeats); the suffix is the format: .{' .'.join(FORMATS)}; - is stdout.",
    shell_complete=completion.files,
)
@click.option("--format", "format_name", type=click.Choice(FORMATS), help="Format where no suffix gives it.")
@click.option(
    "--steps", default="complete", show_default=True, metavar="complete|all|A-B", help="As for report."
)
@click.option("--rank", type=int, metavar="R", help="Which rank of folders is compared.")
@click.option("--ranks", metavar="R,A-B", help="Read the files of these ranks only, as for report.")
@click.option(
    "--device",
    metavar="NAME",
    help="Take this accelerator's roofs on both sides.",
    shell_complete=completion.devices,
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    envvar=["TRACEANALYZE_JOBS", "TRACEANALYZE_DIFF_JOBS"],
    metavar="N",
    help="Files of a folder analyzed at once; by default as many as cores and memory allow.",
)
@click.option(
    "--scheduler",
    envvar=["TRACEANALYZE_SCHEDULER", "TRACEANALYZE_DIFF_SCHEDULER"],
    metavar="tcp://HOST:8786",
    help="Let the workers of this Dask cluster read the files of folders.",
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Changes in the tables.")
@click.option(
    "--require",
    "require",
    multiple=True,
    metavar="EXPR",
    help="What must hold of the comparison's JSON, such as 'step_ns.change_share<=0.05'; exit 3. Repeats.",
)
@click.option(
    "--comment-key",
    "comment_key",
    metavar="KEY",
    help="Mark the Markdown as the comment of this name, so that a later one takes its place.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option("-q", "--quiet", is_flag=True, help="No summary.")
@lean()
def command(
    base: str, head: str, more_base: tuple[str, ...], more_head: tuple[str, ...], outputs: tuple[str, ...],
    format_name: str | None, steps: str, rank: int | None, ranks: str | None, device: str | None,
    jobs: int | None, scheduler: str | None, top: int | None, require: tuple[str, ...],
    comment_key: str | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Say whether HEAD is faster than BASE, by how much, how surely, and which operators or waits did it.

    Each is a trace, a folder of ranks or a saved report. With several runs a side (--base, --head) what runs
    differ by anyhow is told apart from the change.

    \b
    traceanalyze diff main.trace.json.gz branch.trace.json.gz
    traceanalyze diff a1.json b1.json --base a2.json --base a3.json --head b2.json --head b3.json -o diff.md
    """
    from traceanalyzer.comparing import compare
    from traceanalyzer.comparison.expressions import parsed
    from traceanalyzer.comparison.requirements import compared, refuse_relative
    from traceanalyzer.report.check import line
    from traceanalyzer.report.comparisons import check_format, render

    required = [parsed(text) for text in require]  # what is none is told before traces are read
    for each in required:
        refuse_relative(each)
    name = f"{trace_stem(base)}.{trace_stem(head)}.diff.{format_name or 'html'}"
    asked = outputs or format_name or not (quiet and require)  # a gate alone leaves no page
    wanted = targets(outputs, format_name, base, name) if asked else []
    for target in wanted:
        check_format(target.format)
    refuse_overwrite(wanted, [base, head, *more_base, *more_head], force=force)
    options = AnalyzeOptions(
        steps=steps, rank=rank, ranks=ranks, device=device, jobs=jobs, scheduler=scheduler, kernels=False
    )
    comparison = compare([base, *more_base], [head, *more_head], options=options)
    results = compared(required, comparison)
    for target in wanted:
        write(target, render(comparison, target.format, top, comment_key))
    if not quiet:
        _summarize(comparison, [str(t.path) for t in wanted if t.path is not None], top)
    for result in results:
        click.echo(line(result), err=True)
    if any(each.outcome == "broken" for each in results):
        raise click.exceptions.Exit(BROKEN)


def _summarize(comparison: Comparison, written: Sequence[str], top: int | None) -> None:
    from traceanalyzer.report.diff_terminal import summary

    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ or bool(os.environ.get("FORCE_COLOR"))
    click.echo(summary(comparison, color=color, **({"top": top} if top else {})), err=True, color=color)
    for path in written:
        click.echo(f"traceanalyze: wrote {path}", err=True)
