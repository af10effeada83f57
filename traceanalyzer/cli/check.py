"""`traceanalyze check TRACE --require EXPR`: a gate for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import completion
from traceanalyzer.cli.lean import lean
from traceanalyzer.cli.output import Target, refuse_overwrite, write
from traceanalyzer.records.errors import UsageError

if TYPE_CHECKING:
    from traceanalyzer.gate import Gate

BROKEN = 3  # exit code


@click.command()
@click.argument("traces", metavar="TRACE ...", nargs=-1, required=True, shell_complete=completion.files)
@click.option(
    "--require",
    "require",
    multiple=True,
    metavar="EXPR",
    help="What must hold, such as 'memory_bound.share_of_busy<=0.45'. Repeats.",
)
@click.option(
    "--baseline",
    multiple=True,
    metavar="FILE",
    help="A trace or report that '+5%' is relative to. Repeats: further runs of it.",
    shell_complete=completion.files,
)
@click.option("--strict", is_flag=True, help="Fail also where noise or a missing value allows no verdict.")
@click.option(
    "-o", "--output", metavar="OUT.json", help="Write the result as JSON.", shell_complete=completion.files
)
@click.option(
    "--junit", metavar="OUT.xml", help="Write the result as JUnit XML.", shell_complete=completion.files
)
@click.option(
    "--steps", default="complete", show_default=True, metavar="complete|all|A-B", help="As for report."
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@lean()
def command(
    traces: tuple[str, ...], require: tuple[str, ...], baseline: tuple[str, ...], strict: bool,
    output: str | None, junit: str | None, steps: str, force: bool,
) -> None:  # fmt: skip
    """Check that what TRACE (or a saved report) shows is within limits.

    Several are runs of one program, which tell a change of the step from noise.

    \b
    traceanalyze check trace.json.gz --require 'memory_bound.share_of_busy<=0.45'
    traceanalyze check trace.json.gz --baseline main.json --require 'window.step_ns.median<=+5%'

    In pyproject.toml: [tool.traceanalyzer] with require = [...], baseline = "FILE" or [...], strict = true.
    Exit 0 where all hold or cannot be told, 3 where one is broken (with --strict: or cannot be told).
    """
    from traceanalyzer.comparing import held_against
    from traceanalyzer.gate import Gate, configured
    from traceanalyzer.options import AnalyzeOptions
    from traceanalyzer.report.check import as_json, lines
    from traceanalyzer.report.check import junit as as_junit

    gate = _required(Gate(require, baseline, strict), configured())
    wanted = [None if path is None else _target(path) for path in (output, junit)]
    refuse_overwrite(
        [target for target in wanted if target is not None], [*traces, *gate.baseline], force=force
    )
    options = AnalyzeOptions(steps=steps, kernels=False)
    result = held_against(traces, gate.require, gate.baseline, options)
    for line in lines(result):
        click.echo(line, err=True)
    for target, text in zip(wanted, (as_json(result), as_junit(result, strict=gate.strict)), strict=True):
        if target is not None:
            write(target, text)
    if result.fails(strict=gate.strict):
        raise click.exceptions.Exit(BROKEN)


def _required(given: Gate, named: Gate) -> Gate:
    """What is left to hold; a baseline that pyproject.toml names and that no run has written yet is said."""
    from traceanalyzer.gate import is_missing, left_out_lines

    gate = given.over(named)
    if not gate.require:
        fix = "give --require 'memory_bound.share_of_busy<=0.45', or [tool.traceanalyzer] in pyproject.toml"
        raise UsageError("nothing is required", fix=fix)
    if given.baseline or not is_missing(named.baseline):
        return gate
    kept, left_out = gate.without_baseline()
    for line in left_out_lines(named.baseline, left_out):
        click.echo(line, err=True)
    return kept


def _target(path: str) -> Target:
    """`-` is stdout."""
    return Target(None if path == "-" else Path(path), "json", chosen=True)
