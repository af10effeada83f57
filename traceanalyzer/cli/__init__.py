"""The command line: one file per command. Only this package prints and ends the process."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import click

from traceanalyzer import __version__
from traceanalyzer.records.errors import TraceAnalyzerError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130  # exit code, as of a program that SIGINT ended

# A command is imported when it is named: each takes what only it needs. What `--help` says of it stands here.


def _report() -> click.Command:
    """Report on a trace: verdict, memory-bound share, ops, roofline."""
    from traceanalyzer.cli.report import command

    return command


def _profile() -> click.Command:
    """Run a script, capture a few of its steps, report on them."""
    from traceanalyzer.cli.profile import command

    return command


def _diff() -> click.Command:
    """Compare two traces: what changed, by how much, how surely."""
    from traceanalyzer.cli.diff import command

    return command


def _check() -> click.Command:
    """Check a trace against requirements; exit 3 where one is broken."""
    from traceanalyzer.cli.check import command

    return command


def _annotate() -> click.Command:
    """Write verdicts, costs and suggestions into a trace, for Perfetto."""
    from traceanalyzer.cli.annotate import command

    return command


def _devices() -> click.Command:
    """List known accelerators, their roofs and sources."""
    from traceanalyzer.cli.devices import command

    return command


def _explain() -> click.Command:
    """What an operator's figures, a rule or a word of a report mean."""
    from traceanalyzer.cli.explain import command

    return command


def _verify() -> click.Command:
    """Try a suggestion on this machine: predicted against measured."""
    from traceanalyzer.cli.verify import command

    return command


def _calibrate() -> click.Command:
    """Measure this machine's roofs: bandwidth, matmuls, launch floor."""
    from traceanalyzer.cli.calibrate import command

    return command


def _demo() -> click.Command:
    """Report on a sample trace shipped with the package."""
    from traceanalyzer.cli.demo import command

    return command


COMMANDS: dict[str, Callable[[], click.Command]] = {
    "report": _report, "profile": _profile, "diff": _diff, "check": _check, "annotate": _annotate,
    "devices": _devices,
    "explain": _explain, "verify": _verify, "calibrate": _calibrate, "demo": _demo,
}  # fmt: skip


class Commands(click.Group):
    """Loads a command when it is named; turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return COMMANDS[name]() if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with what it is for; none is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, load.__doc__ or "") for name, load in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, none of which is imported, and the group's own options."""
        from traceanalyzer.cli.completion import commands

        named = commands(((name, load.__doc__ or "") for name, load in COMMANDS.items()), incomplete)
        return [*named, *super(click.Group, self).shell_complete(ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except TraceAnalyzerError as error:
            click.echo(f"traceanalyze: {error}", err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            _usage_error(error, ctx)
        except KeyboardInterrupt:
            click.echo("traceanalyze: interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            _internal_error(error)
            ctx.exit(1)


def _usage_error(error: click.UsageError, ctx: click.Context) -> NoReturn:
    """One line as of every other error, in place of click's three."""
    asked = error.ctx or ctx
    message = error.format_message().rstrip(".?")
    click.echo(f"traceanalyze: {message}. Fix: see `{asked.command_path} --help`", err=True)
    ctx.exit(error.exit_code)


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
