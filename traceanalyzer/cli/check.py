"""`traceanalyze check TRACE --require EXPR`: a gate for continuous integration."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from traceanalyzer.cli.output import Target, refuse_overwrite, write
from traceanalyzer.records.errors import UsageError

BROKEN = 3  # exit code


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold, and against what; of the command line, else of pyproject.toml."""

    require: tuple[str, ...] = ()
    baseline: str | None = None
    strict: bool = False


@click.command()
@click.argument("trace")
@click.option(
    "--require",
    "require",
    multiple=True,
    metavar="EXPR",
    help="What must hold, such as 'memory_bound.share_of_busy<=0.45'. Repeats.",
)
@click.option("--baseline", metavar="FILE", help="A trace or report that '+5%' is relative to.")
@click.option("--strict", is_flag=True, help="Fail also where noise or a missing value allows no verdict.")
@click.option("-o", "--output", metavar="OUT.json", help="Write the result as JSON.")
@click.option("--junit", metavar="OUT.xml", help="Write the result as JUnit XML.")
@click.option(
    "--steps", default="complete", show_default=True, metavar="complete|all|A-B", help="As for report."
)
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(
    trace: str, require: tuple[str, ...], baseline: str | None, strict: bool, output: str | None,
    junit: str | None, steps: str, force: bool,
) -> None:  # fmt: skip
    """Check that what TRACE (or a saved report) shows is within limits.

    \b
    traceanalyze check trace.json.gz --require 'memory_bound.share_of_busy<=0.45'
    traceanalyze check trace.json.gz --baseline main.json --require 'window.step_ns.median<=+5%'

    In pyproject.toml: [tool.traceanalyzer] with require = [...], baseline = "FILE", strict = true.
    Exit 0 where all hold or cannot be told, 3 where one is broken (with --strict: or cannot be told).
    """
    from traceanalyzer.comparing import check
    from traceanalyzer.options import AnalyzeOptions
    from traceanalyzer.report.check import as_json, lines
    from traceanalyzer.report.check import junit as as_junit

    gate = _merged(Gate(require, baseline, strict), _configured(Path("pyproject.toml")))
    wanted = [None if path is None else _target(path) for path in (output, junit)]
    refuse_overwrite(
        [target for target in wanted if target is not None],
        [trace, *([gate.baseline] if gate.baseline else [])],
        force=force,
    )
    result = check(
        trace, gate.require, baseline=gate.baseline, options=AnalyzeOptions(steps=steps, kernels=False)
    )
    for line in lines(result):
        click.echo(line, err=True)
    for target, text in zip(wanted, (as_json(result), as_junit(result, strict=gate.strict)), strict=True):
        if target is not None:
            write(target, text)
    if result.fails(strict=gate.strict):
        raise click.exceptions.Exit(BROKEN)


def _target(path: str) -> Target:
    """`-` is stdout."""
    return Target(None if path == "-" else Path(path), "json", chosen=True)


def _merged(given: Gate, configured: Gate) -> Gate:
    """The command line's where it says something."""
    return Gate(
        given.require or configured.require, given.baseline or configured.baseline,
        given.strict or configured.strict,
    )  # fmt: skip


def _configured(path: Path) -> Gate:
    """`[tool.traceanalyzer]`; a baseline is relative to that file."""
    if not path.is_file():
        return Gate()
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", fix="fix that file") from None
    ours = table.get("traceanalyzer", {}) if isinstance(table, dict) else {}
    gate = Gate()
    for name, value in ours.items() if isinstance(ours, dict) else ():
        gate = _set(gate, path, name, value)
    return gate


def _set(gate: Gate, path: Path, name: str, value: Any) -> Gate:
    where = f"{path}: [tool.traceanalyzer] {name}"
    if name == "require" and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return replace(gate, require=tuple(value))
    if name == "baseline" and isinstance(value, str):
        return replace(gate, baseline=str(path.parent / value))
    if name == "strict" and isinstance(value, bool):
        return replace(gate, strict=value)
    fix = "it takes require (a list of texts), baseline (a text) and strict (true or false)"
    raise UsageError(f"{where}: is not understood", fix=fix)
