"""Where results go: names, formats, what may be replaced; files are written atomically."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from traceanalyzer.records.errors import UsageError
from traceanalyzer.report import RENDERERS, TABLES
from traceanalyzer.report.target import (
    check_place,
    check_writable,
    format_of,
    of_table,
    would_replace,
    write_file,
)

FORMATS = (*RENDERERS, *TABLES)
SUFFIXES = f".{' .'.join(RENDERERS)} .parquet (the ops; the kernels where it ends in kernels.parquet)"


class Target(msgspec.Struct, frozen=True):
    """One result to write; `path` None is stdout."""

    path: Path | None
    format: str
    chosen: bool  # by the user with -o, not the default name


def targets(
    outputs: Sequence[str], format_name: str | None, trace: str, default_page: str | None = None
) -> list[Target]:
    """What `-o` and `--format` ask for; by default an HTML page in the current folder."""
    if not outputs:
        name = default_page or f"{trace_stem(trace)}.report.{format_name or 'html'}"
        return [Target(Path(name), format_name or "html", chosen=False)]
    return [_target(output, format_name) for output in outputs]


def _target(output: str, format_name: str | None) -> Target:
    if output == "-":
        return Target(None, format_name or "txt", chosen=True)
    name = of_table(output, format_name) if format_name else format_of(output, ", or give --format")
    return Target(Path(output), name, chosen=True)


def trace_stem(trace: str) -> str:
    """`runs/step.trace.json.gz` -> `step.trace`; stdin -> `stdin`."""
    from traceanalyzer.trace.reading.names import shown_name

    if trace == "-":
        return "stdin"
    name = re.sub(r"[*?\[\]]", "", Path(shown_name(trace)).name) or "traces"
    for suffix in (".gz", ".xz", ".bz2", ".zst", ".json", ".tmp"):
        name = name.removesuffix(suffix)
    return name or "trace"


def refuse_overwrite(wanted: Sequence[Target], inputs: Sequence[str], *, force: bool) -> None:
    """UsageError before any work where a file would be lost, or could not be made."""
    for target in wanted:
        check_writable(target.path, target.format)
        if target.path is None:
            continue
        check_place(target.path)
        if not target.path.exists():
            continue
        if any(path != "-" and Path(path).exists() and target.path.samefile(path) for path in inputs):
            raise UsageError(f"{target.path}: is the input itself", fix="give -o another name")
        if force or (not target.chosen and _is_own_report(target.path, inputs[0])):
            continue
        raise would_replace(target.path, "give -o another name, or the same command with --force")


def _is_own_report(path: Path, trace: str) -> bool:
    """Our own report of the same trace, or a comparison, whose default name says of which."""
    from traceanalyzer.report import is_own_report
    from traceanalyzer.report.report_marker import is_own_diff
    from traceanalyzer.trace.reading.names import shown_name

    with path.open("rb") as file:
        content = file.read(4096)
    is_diff = path.name.endswith(".diff.html") and is_own_diff(content)
    return is_diff or is_own_report(content, shown_name(trace))


def write(target: Target, content: str | bytes) -> None:
    """To stdout, or into a temporary file beside the target which then takes its name."""
    if target.path is not None:
        write_file(target.path, content)
    else:
        click.echo(content, nl=isinstance(content, str) and not content.endswith("\n"))
