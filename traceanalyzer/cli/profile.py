"""`traceanalyze profile`: a script as it is, a few of its steps captured, the report."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from traceanalyzer.cli import completion
from traceanalyzer.cli.captured import captured, shortfall
from traceanalyzer.cli.trace_target import Processes, counters_path, page_path, trace_path
from traceanalyzer.collect.following import follow
from traceanalyzer.collect.roofs import RoofSource
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
from traceanalyzer.collect.stopping import Ranks, Stopper
from traceanalyzer.files import short
from traceanalyzer.records.errors import UsageError

_PATIENCE_S = 5  # with threads and processes of a script that was stopped


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
@click.option(
    "--roofs",
    metavar="FILE|fresh",
    help="On a CPU: take its bandwidth and peaks from a file of `calibrate`, or measure them again instead "
    "of those kept from an earlier run.",
    shell_complete=completion.files,
)
@click.option("--no-roofs", is_flag=True, help="On a CPU: record none, and measure nothing at the end.")
@click.option("--stop", is_flag=True, help="End the script after the capture, with exit code 0.")
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
    no_report: bool, stack: bool, no_memory: bool, no_evidence: bool, counters: bool,
    roofs: str | None, no_roofs: bool, stop: bool, ranks: str, force: bool, verbose: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run SCRIPT as `python SCRIPT ARGS` would, and report where the time of its steps goes.

    Steps are detected: an optimizer's step returns, or in an inference script the model does. By
    default 3 steps are waited for, 2 warm the profiler up and 3 are captured; then the script
    continues, or ends with --stop. Its output, exit code and files are unchanged; messages go to stderr.

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
    if roofs is not None and no_roofs:
        raise UsageError("--roofs and --no-roofs contradict each other", fix="give one of them")
    processes = Processes.here()
    say = _messages()
    schedule = Schedule(wait, warmup, active, stack, not no_memory, not no_evidence, counters)
    stopper = _stopper(processes, ranks, schedule, say) if stop else None
    if ranks == "0" and processes.rank != 0:
        _ended(execute(script) if stopper is None else follow(script, stopper), stopper, say)
    trace = trace_path(script, output, processes, force=force)
    page = None if no_report or processes.rank != 0 else page_path(trace, force=force)
    counted = counters_path(trace, force=force) if counters else None
    inform: Callable[[str], None] = (lambda text: None) if quiet else say
    source = None if no_roofs else RoofSource.of(roofs, dict(os.environ), say, inform)
    line = shlex.join(["traceanalyze", *sys.argv[1:]])
    request = ProfileRequest(script, trace, schedule, line, source, counted)
    try:
        outcome = run(request, say, lambda result: inform(captured(result, short(trace), ends=stop)), stopper)
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
    if outcome.stopped is not None:
        inform(f"stopped after the capture; {outcome.stopped} steps ran")
    if outcome.saved:
        _next(trace, page, say, quiet=quiet, verbose=verbose)
    if outcome.stuck:
        _leave(outcome.code)
    _ended(1 if isinstance(outcome.code, str) else outcome.code, stopper, say)


def _stopper(processes: Processes, ranks: str, schedule: Schedule, say: Callable[[str], None]) -> Stopper:
    if processes.count == 1:
        return Stopper(say)
    capturing = range(processes.count) if ranks == "all" else [0]
    return Stopper(say, Ranks(processes.rank, processes.count, capturing, schedule.steps, say))


def _ended(code: Code, stopper: Stopper | None, say: Callable[[str], None]) -> NoReturn:
    """End this process; where the script was stopped, without its threads and processes that go on."""
    if stopper is not None and stopper.stopped:
        waited = threading.Event()
        threading.Thread(target=_without_threads, args=(waited, code, say), daemon=True).start()
        wait_for_threads()
        waited.set()
        _end_children(say)
    sys.exit(code)


def _without_threads(waited: threading.Event, code: Code, say: Callable[[str], None]) -> None:
    if waited.wait(_PATIENCE_S):
        return
    say("threads of the script go on after --stop, and are not waited for")
    _end_children(say)
    _close(code)


def _end_children(say: Callable[[str], None]) -> None:
    """Of multiprocessing, which would wait for them: those that are no daemons get a moment, then SIGTERM."""
    children = [child for child in multiprocessing.active_children() if not child.daemon]
    for child in children:
        child.join(_PATIENCE_S / len(children))
    left = [child for child in children if child.is_alive()]
    if left:
        say(f"{len(left)} child processes of the script went on after --stop, and are ended")
    for child in left:
        child.terminate()


def _leave(code: Code) -> NoReturn:
    """End this process as Python would, atexit handlers and all, but without tearing torch down.

    For a forked child of the script, and where a profiler runs on that nobody can stop: torch would wait
    for it for ever, or crash.
    """
    wait_for_threads()
    _close(code)


def _close(code: Code) -> NoReturn:
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


def _next(trace: Path, page: Path | None, say: Callable[[str], None], *, quiet: bool, verbose: bool) -> None:
    """The report, which says what to type next; without one, how to have it."""
    again = f"traceanalyze report {shlex.quote(short(trace))}"
    if page is not None and not _reported(trace, page, quiet=quiet, verbose=verbose):
        say(f"the report failed, the trace is complete. Fix: {again}")
    elif page is None and not quiet:
        say(f"next: {again}")


def _reported(trace: Path, page: Path, *, quiet: bool, verbose: bool) -> bool:
    """Report in a process of its own: whatever the script did to this one does not matter there."""
    command = [sys.executable, "-P", "-m", "traceanalyzer", "report", short(trace), "-o", short(page)]
    command += ["--force", "--next", *["-q"] * quiet, *["-v"] * verbose]
    try:
        return subprocess.run(command, check=False).returncode == 0
    except (OSError, KeyboardInterrupt):
        return False
