"""What a report costs, beside the least it could cost and what Python's own `json.load` costs.

`python benchmarks/run.py [--sizes 10MB,100MB,1GB] [SOURCE ...]` tiles each source (by default a sample trace)
to each size and prints a table as Markdown. Seconds are processor time of a process of its own, the best of
several: the clock of a busy machine says little. Compare ratios within one run; the rest is the machine's.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tile import tile

from traceanalyzer.records.units import parse_quantity

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "sample_traces" / "gpt_eager_cpu.json.gz"
TRACEANALYZE = (sys.executable, "-m", "traceanalyzer")
DECODE = "import sys; sys.path[0] = sys.argv[1]; from yardstick import decode_only; decode_only(sys.argv[2])"
JSON_LOAD = "import json, sys; json.load(open(sys.argv[1], encoding='utf-8', errors='replace'))"
HEADER = (
    "| source | size | `json.load` | yardstick | report | report / `json.load` | report / yardstick "
    "| seconds a 100 MB | peak memory | of `json.load` |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One process: processor and wall seconds, and the most memory it held, in bytes."""

    processor_s: float
    wall_s: float
    peak_bytes: int


def run(*command: str) -> Run:
    """Run it with what it prints thrown away, complaints apart; SystemExit if it fails."""
    start = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(usage.ru_utime + usage.ru_stime, time.perf_counter() - start, unit * usage.ru_maxrss)


def best(times: int, *command: str) -> Run:
    return min((run(*command) for _ in range(times)), key=lambda r: r.processor_s)


def line(source: Path, size: float, folder: Path) -> str:
    """One line of the table: the three ways to read the same file."""
    trace = folder / "trace.json"
    tile(str(source), trace, size)
    megabytes = trace.stat().st_size / 1e6
    times = 5 if megabytes < 50 else 3 if megabytes < 500 else 1
    load = best(times, sys.executable, "-c", JSON_LOAD, str(trace))
    least = best(times, sys.executable, "-c", DECODE, str(HERE), str(trace))
    whole = best(times, *TRACEANALYZE, "report", "-q", str(trace), "-o", str(folder / "r.json"), "--force")
    trace.unlink()
    seconds, peak = whole.processor_s, whole.peak_bytes
    return (
        f"| {source.name.split('.')[0]} | {megabytes:,.0f} MB | {load.processor_s:.2f} s "
        f"| {least.processor_s:.2f} s | {seconds:.2f} s | {seconds / load.processor_s:.2f} "
        f"| {seconds / least.processor_s:.2f} | {100 * seconds / megabytes:.2f} "
        f"| {peak / 2**20:,.0f} MiB | {peak / load.peak_bytes:.2f} |"
    )


def small(source: Path, folder: Path) -> str:
    """What a person waits for: a small trace to a page, and the help."""
    page = best(5, *TRACEANALYZE, "report", "-q", str(source), "-o", str(folder / "r.html"), "--force")
    text = best(5, *TRACEANALYZE, "--help")
    nothing = best(5, sys.executable, "-c", "pass")
    return (
        f"`{source.name}` ({source.stat().st_size / 1000:,.0f} kB) to an HTML page: {page.wall_s:.2f} s; "
        f"`--help`: {text.wall_s:.2f} s; a Python that does nothing: {nothing.wall_s:.2f} s (wall time)."
    )


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("sources", nargs="*", type=Path, default=[SAMPLE], metavar="SOURCE")
    options.add_argument("--sizes", default="10MB,100MB,1GB")
    chosen = options.parse_args()
    print(f"On {machine()}, {time.strftime('%Y-%m-%d')}. Seconds are processor time.\n\n{HEADER}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for source in chosen.sources:
            for size in chosen.sizes.split(","):
                print(line(source, parse_quantity(size), Path(folder)), flush=True)
        print(f"\n{small(SAMPLE, Path(folder))}")


if __name__ == "__main__":
    main()
