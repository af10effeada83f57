"""Where `profile` writes: the name of the trace and of its page, and what may not be replaced."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from traceanalyzer.collect.script import Script
from traceanalyzer.records.errors import UsageError


class Processes(msgspec.Struct, frozen=True):
    """This process among those that a launcher such as torchrun has started."""

    rank: int
    count: int

    @classmethod
    def here(cls) -> Processes:
        """From the variables that torchrun, accelerate and others set."""
        count = _number("WORLD_SIZE", 1)
        return cls(_number("RANK", 0) if count > 1 else 0, count)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default


def trace_path(script: Script, output: str | None, processes: Processes, *, force: bool) -> Path:
    """The trace's absolute path; UsageError where it cannot be written, before anything runs."""
    name = output or _default(processes)
    if processes.count > 1 and not any(part in name for part in ("{rank}", "{pid}")):
        name = _numbered(name, processes.rank)
    named = {"{script}": script.stem, "{pid}": str(os.getpid()), "{rank}": str(processes.rank)}
    for placeholder, value in named.items():
        name = name.replace(placeholder, value)
    path = Path(name).absolute()
    if not name.endswith((".json", ".json.gz")):
        fix = f"end it in .json.gz, as in -o {name}.trace.json.gz"
        raise UsageError(f"{name}: is no name for a trace", fix=fix)
    if not path.parent.is_dir():
        raise UsageError(f"{name}: the folder {path.parent} does not exist", fix=f"mkdir -p {path.parent}")
    if path.is_dir():
        raise UsageError(f"{name}: is a folder", fix="name a file, such as run.trace.json.gz")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{name}: {path.parent} cannot be written to", fix="give -o another place")
    if path.exists() and not force:
        fix = "give -o another name, or the same command with --force"
        raise UsageError(f"{name}: exists and would be replaced", fix=fix)
    return path


def _default(processes: Processes) -> str:
    return "{script}.rank{rank}.trace.json.gz" if processes.count > 1 else "{script}.{pid}.trace.json.gz"


def _numbered(name: str, rank: int) -> str:
    """One file per rank: `run.trace.json.gz` -> `run.rank3.trace.json.gz`."""
    return _with(name, f"rank{rank}")


def _with(name: str, part: str) -> str:
    for suffix in (".trace.json.gz", ".trace.json", ".json.gz", ".json"):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix)}.{part}{suffix}"
    return name


def counters_path(trace: Path, *, force: bool) -> Path:
    """`run.trace.json.gz` -> `run.counters.trace.json.gz`; UsageError where that exists."""
    name = _with(trace.name.removesuffix(".gz"), "counters") + ".gz"
    path = trace.with_name(name)
    if path.exists() and not force:
        raise UsageError(f"{path.name}: exists and would be replaced",
                         fix="give -o another name, or the same command with --force")  # fmt: skip
    return path


def page_path(trace: Path, *, force: bool) -> Path:
    """The report beside the trace; UsageError where another file of that name exists."""
    from traceanalyzer.cli.output import Target, refuse_overwrite, trace_stem

    page = trace.with_name(f"{trace_stem(trace.name)}.report.html")
    refuse_overwrite([Target(page, "html", chosen=False)], [str(trace)], force=force)
    return page
