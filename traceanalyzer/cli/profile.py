"""`traceanalyze profile`: a script as it is, a few of its steps captured, the report."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
from msgspec.structs import replace

from traceanalyzer.cli import completion
from traceanalyzer.cli.captured import captured, shortfall
from traceanalyzer.cli.trace_target import Processes, counters_path, page_path, short, trace_path
from traceanalyzer.collect.roofs import measured
from traceanalyzer.collect.run import ProfileRequest, require_torch, run
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import (
    INTERRUPTED,
    Code,
    Script,
    execute,
    exit_status,
    launcher_line,
    refuse_missing,
    wait_for_threads,
)
from traceanalyzer.records.errors import UsageError


@click.command(
    context_settings={"allow_interspersed_args": False},
)
@click.argument(
    "words",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    metavar="[--] SCRIPT [ARGS]...",
    shell_complete=completion.files,
)
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as in python -m.")
@click.option(
    "--wait",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Steps before the warm-up; more while code is being compiled.",
)
@click.option(
    "--warmup",
    default=2,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Steps in which the profiler warms up.",
)
@click.option(
    "--active", default=3, show_default=True, type=click.IntRange(1), metavar="N", help="Steps to capture."
)
@click.option(
    "-o",
    "--output",
    metavar="TRACE",
    help="Where to write the trace; {script}, {pid} and {rank} are replaced.  [default: "
    "{script}.{pid}.trace.json.gz, under several ranks {script}.rank{rank}.trace.json.gz]",
    shell_complete=completion.files,
)
@click.option("--no-report", is_flag=True, help="Only write the trace.")
@click.option("--stack", is_flag=True, help="Record Python stacks too: larger files, slower steps.")
@click.option("--no-memory", is_flag=True, help="Do not record allocations, which prove what could be fused.")
@click.option(
    "--no-evidence",
    is_flag=True,
    help="Do not record one more step for the producer-consumer edges.",
)
@click.option(
    "--counters",
    is_flag=True,
    help="Count the bytes that each kernel moves in one more step (NVIDIA, CUDA 12.6 and before).",
)
@click.option("--no-roofs", is_flag=True, help="On a CPU: do not measure its bandwidth and peaks at the end.")
@click.option(
    "--ranks",
    type=click.Choice(["0", "all"]),
    default="0",
    show_default=True,
    help="Which of several processes to capture.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Print the time of the capture; more rows in the summary."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only what went wrong.")
def command(
    words: tuple[str, ...], module: bool, wait: int, warmup: int, active: int, output: str | None,
    no_report: bool, stack: bool, no_memory: bool, no_evidence: bool, counters: bool, no_roofs: bool,
    ranks: str, force: bool, verbose: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run SCRIPT as `python SCRIPT ARGS` would, and report where the time of its steps goes.

    Steps are detected: an optimizer's step returns, or in an inference script the model does. By
    default 3 steps are waited for, 2 warm the profiler up and 3 are captured; then the script
    continues. Its output, exit code and files are unchanged; messages go to stderr.

    \b
    traceanalyze profile train.py --lr 3e-4
    traceanalyze profile --active 5 -m package.train --epochs 1
    torchrun --nproc-per-node 8 --no-python traceanalyze profile train.py
    """
    script = Script(words[0], words[1:], module)
    if (line := launcher_line(words)) is not None:
        raise UsageError(f"{words[0]} starts processes; profile those instead", fix=line)
    refuse_missing(script)
    require_torch()
    processes = Processes.here()
    if ranks == "0" and processes.rank != 0:
        sys.exit(execute(script))
    trace = trace_path(script, output, processes, force=force)
    page = None if no_report or processes.rank != 0 else page_path(trace, force=force)
    counted = counters_path(trace, force=force) if counters else None
    schedule = Schedule(wait, warmup, active, stack, not no_memory, not no_evidence, counters)
    say = _messages()
    request = _request(script, trace, schedule, say, roofs=not no_roofs, quiet=quiet)
    request = replace(request, counters=counted)
    try:
        outcome = run(request, say, lambda result: None if quiet else say(captured(result, short(trace))))
    except KeyboardInterrupt:  # once more, while what was captured was being completed
        sys.exit(INTERRUPTED)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    if isinstance(outcome.code, str):
        click.echo(outcome.code, err=True)
    if outcome.child:
        _leave(outcome.code)
    if (missing := shortfall(outcome, schedule)) is not None:
        say(missing)
    if verbose and outcome.capture_ns:
        say(f"the capture took {outcome.capture_ns / 1e9:.3f} s, from arming the profiler to the last step")
    if outcome.saved:
        _next(trace, page, say, quiet=quiet, verbose=verbose)
    if outcome.stuck:
        _leave(outcome.code)
    sys.exit(1 if isinstance(outcome.code, str) else outcome.code)


def _leave(code: Code) -> NoReturn:
    """End this process as Python would, atexit handlers and all, but without tearing torch down.

    For a forked child of the script, and where a profiler runs on that nobody can stop: torch would wait
    for it for ever, or crash.
    """
    wait_for_threads()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(exit_status(code))


def _messages() -> Callable[[str], None]:
    """Lines on what is stderr now: the script may redirect or close its own."""
    try:
        stderr = os.dup(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # it has none, or none with a descriptor
        return lambda text: click.echo(f"traceanalyze: {text}", err=True)

    def say(text: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()  # what the script said before comes before
        with contextlib.suppress(OSError):
            os.write(stderr, f"traceanalyze: {text}\n".encode(errors="replace"))

    return say


def _request(
    script: Script, trace: Path, schedule: Schedule, say: Callable[[str], None], *, roofs: bool, quiet: bool
) -> ProfileRequest:
    environment = dict(os.environ)  # as it is before the script changes it

    def measure(threads: int) -> Mapping[str, Any] | None:
        if not quiet:
            say("measuring this CPU's roofs for some seconds")
        roofs = measured(threads, environment)
        if roofs is None:
            say("that failed, so the trace holds no roofs. Fix: see the error of traceanalyze calibrate")
        return roofs

    command = shlex.join(["traceanalyze", *sys.argv[1:]])
    return ProfileRequest(script, trace, schedule, command=command, roofs=measure if roofs else None)


def _next(trace: Path, page: Path | None, say: Callable[[str], None], *, quiet: bool, verbose: bool) -> None:
    """The report, and the next command to type."""
    again = f"traceanalyze report {shlex.quote(short(trace))}"
    if page is not None and not _reported(trace, page, quiet=quiet, verbose=verbose):
        say(f"the report failed, the trace is complete. Fix: {again}")
    elif not quiet:
        say(f"next: {again}" + (" -v" if page else ""))


def _reported(trace: Path, page: Path, *, quiet: bool, verbose: bool) -> bool:
    """Report in a process of its own: whatever the script did to this one does not matter there."""
    command = [sys.executable, "-P", "-m", "traceanalyzer", "report", short(trace), "-o", short(page)]
    command += ["--force", *["-q"] * quiet, *["-v"] * verbose]
    try:
        return subprocess.run(command, check=False).returncode == 0
    except (OSError, KeyboardInterrupt):
        return False
