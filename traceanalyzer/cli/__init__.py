"""The command line: one file per command. Only this package prints and ends the process."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import traceback

import click

from traceanalyzer import __version__
from traceanalyzer.records.errors import TraceAnalyzerError

COMMANDS = ("report", "profile", "devices", "explain", "verify", "calibrate", "demo")


class Commands(click.Group):
    """Loads a command when it is named; turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"traceanalyzer.cli.{name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except TraceAnalyzerError as error:
            click.echo(f"traceanalyze: {error}", err=True)
            ctx.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            _internal_error(error)
            ctx.exit(1)


def _internal_error(error: Exception) -> None:
    """One line about a failure of this program, and how to report it; the traceback only on request."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    click.echo(
        f"traceanalyze: internal error: {type(error).__name__}: {error} ({where}, version {__version__}, "
        f"Python {platform.python_version()}). Please report it with this line and the first lines of the "
        "trace; TRACEANALYZE_DEBUG=1 shows the traceback.",
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
    """Where a PyTorch trace's GPU time goes: what is memory-bound, why, and how surely it is known."""
