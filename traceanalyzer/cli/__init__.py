"""The command line: one file per command. Only this package prints and ends the process."""

from __future__ import annotations

import os
import platform
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from traceanalyzer import __version__
from traceanalyzer.records.errors import TraceAnalyzerError, UsageError
from traceanalyzer.records.spelling import did_you_mean, guess, spelled_alike

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130  # exit code, as of a program that SIGINT ended
_QUOTED = re.compile(r"'([^']*)'")

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

    def parse_args(self, ctx: click.Context, words: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, words)
        except click.NoSuchOption as error:
            _usage_error(error, ctx)

    def resolve_command(
        self, ctx: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A name that no command has is told with those that are spelled like it."""
        name = words[0]
        if name not in COMMANDS and not name.startswith("-"):
            fix = guess(name, COMMANDS, f"see `{ctx.command_path} --help`")
            raise UsageError(f"{name}: there is no such command", fix=fix)
        return super().resolve_command(ctx, words)

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
    message, near = error.format_message().rstrip(".?"), []
    if isinstance(error, click.NoSuchOption):
        message = f"{error.option_name}: there is no such option"
        near = _options_like(error.option_name, asked)
    elif isinstance(error, click.BadParameter) and (refused := _refused_choice(error)):
        near = spelled_alike(*refused)
    fix = did_you_mean(near, f"see `{asked.command_path} --help`")
    click.echo(f"traceanalyze: {message}. Fix: {fix}", err=True)
    ctx.exit(error.exit_code)


def _options_like(name: str, asked: click.Context) -> list[str]:
    """The dashes, which all have, make nothing alike."""
    options = asked.command.get_params(asked)
    every = [each for option in options for each in (*option.opts, *option.secondary_opts)]
    names = [each.lstrip("-") for each in every if each.startswith("--")]
    return [f"--{each}" for each in spelled_alike(name.lstrip("-"), names)]


def _refused_choice(error: click.BadParameter) -> tuple[str, Sequence[str]] | None:
    """What was given where only some texts may be, which click quotes, and those."""
    choice = error.param.type if error.param is not None else None
    given = _QUOTED.match(error.message)
    if given is None or not isinstance(choice, click.Choice):
        return None
    return given[1], [str(each) for each in choice.choices]


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
