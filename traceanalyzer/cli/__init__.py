"""The command line: one file a command; only here is anything printed and the process ended."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable

import click

from traceanalyzer.records.errors import TraceAnalyzerError

_ISSUES = "https://github.com/torch-traceanalyzer/torch-traceanalyzer/issues"


# A command is imported when it is named: each takes what only it needs.


def _report() -> click.Command:
    from traceanalyzer.cli.report import command

    return command


def _profile() -> click.Command:
    from traceanalyzer.cli.profile import command

    return command


def _devices() -> click.Command:
    from traceanalyzer.cli.devices import command

    return command


def _explain() -> click.Command:
    from traceanalyzer.cli.explain import command

    return command


def _verify() -> click.Command:
    from traceanalyzer.cli.verify import command

    return command


def _calibrate() -> click.Command:
    from traceanalyzer.cli.calibrate import command

    return command


def _demo() -> click.Command:
    from traceanalyzer.cli.demo import command

    return command


COMMANDS: dict[str, Callable[[], click.Command]] = {
    "report": _report, "profile": _profile, "devices": _devices, "explain": _explain, "verify": _verify,
    "calibrate": _calibrate, "demo": _demo,
}  # fmt: skip


class Commands(click.Group):
    """Loads a command when it is named; turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return COMMANDS[name]() if name in COMMANDS else None

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except TraceAnalyzerError as error:
            click.echo(f"traceanalyze: {error}", err=True)
            ctx.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            _own_fault(error)
            ctx.exit(1)


def _own_fault(error: Exception) -> None:
    """A failure of ours: what it was, where, and how to report it; the traceback only on request."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"
    click.echo(
        f"traceanalyze: this is our own fault: {type(error).__name__}: {error} ({where}, "
        f"Python {platform.python_version()}). Please report it with the trace's first lines at {_ISSUES}; "
        "TRACEANALYZE_DEBUG=1 shows the traceback.",
        err=True,
    )
    if os.environ.get("TRACEANALYZE_DEBUG"):
        traceback.print_exception(error, file=sys.stderr)


@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": "TRACEANALYZE", "help_option_names": ["-h", "--help"]},
)
@click.version_option(None, "--version", package_name="torch-traceanalyzer", prog_name="traceanalyze")
def main() -> None:
    """Where a PyTorch trace's GPU time goes: what is memory-bound, what makes it so, how surely we know."""
