"""What a report costs, beside the least it could cost and what Python's own `json.load` costs.

`python benchmarks/run.py [--sizes 10MB,100MB,1GB] [SOURCE ...]` tiles each source (by default a sample trace)
to each size and prints a table as Markdown. Seconds are processor time of a process of its own, the best of
several: the clock of a busy machine says little. Compare ratios within one run; the rest is the machine's.
`--without-steps` takes the step annotations out first, so that the whole trace is one window;
`--without-json-load` leaves that column out, since Python's own needs ten times the file's size in memory.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
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
    "| seconds a 100 MB | peak memory | of `json.load` | suggestions |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


# As an installed package runs: with its bytecode kept, whatever this shell is set to.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


# A process of its own between: what its parent holds counts as a child's peak, and tiling holds the source.
MEASURED = """
import json, os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([code, wall, used.ru_utime + used.ru_stime, unit * used.ru_maxrss]))
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One program with the processes it starts: seconds, and the most memory that one held, in bytes."""

    processor_s: float
    wall_s: float
    peak_bytes: int


def run(*command: str) -> Run:
    """Run it with what it prints thrown away, complaints apart; SystemExit if it fails."""
    asked = [sys.executable, "-c", MEASURED, *command]
    said = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT).stdout
    code, wall, processor, peak = json.loads(said)
    if code:
        raise SystemExit(f"{' '.join(command)}: exit code {code}")
    return Run(processor, wall, peak)


def best(times: int, *command: str) -> Run:
    return min((run(*command) for _ in range(times)), key=lambda r: r.processor_s)


def line(source: Path, size: float, folder: Path, *, json_load: bool) -> str:
    """One line of the table: the ways to read the same file."""
    trace, report = folder / "trace.json", folder / "r.json"
    tile(str(source), trace, size)
    megabytes = trace.stat().st_size / 1e6
    times = 5 if megabytes < 50 else 3 if megabytes < 500 else 2
    load = best(times, sys.executable, "-c", JSON_LOAD, str(trace)) if json_load else None
    least = best(times, sys.executable, "-c", DECODE, str(HERE), str(trace))
    whole = best(times, *TRACEANALYZE, "report", "-q", str(trace), "-o", str(report), "--force")
    trace.unlink()
    suggestions = len(json.loads(report.read_bytes())["suggestions"] or ())
    seconds, peak = whole.processor_s, whole.peak_bytes
    cells = (
        source.name.split(".")[0],
        f"{megabytes:,.0f} MB",
        f"{load.processor_s:.2f} s" if load else "",
        f"{least.processor_s:.2f} s",
        f"{seconds:.2f} s",
        f"{seconds / load.processor_s:.2f}" if load else "",
        f"{seconds / least.processor_s:.2f}",
        f"{100 * seconds / megabytes:.2f}",
        f"{peak / 2**20:,.0f} MiB",
        f"{peak / load.peak_bytes:.2f}" if load else "",
        str(suggestions),
    )
    return f"| {' | '.join(cells)} |"


def without_steps(source: Path, folder: Path) -> Path:
    """The same trace without its step annotations."""
    data = source.read_bytes()
    document = json.loads(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)
    document["traceEvents"] = [
        event for event in document["traceEvents"] if "ProfilerStep" not in str(event.get("name"))
    ]
    target = folder / f"{source.name.split('.')[0]}_without_steps.json"
    target.write_text(json.dumps(document), encoding="utf-8")
    return target


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
    options.add_argument("--without-steps", action="store_true")
    options.add_argument("--without-json-load", action="store_true")
    chosen = options.parse_args()
    print(f"On {machine()}, {time.strftime('%Y-%m-%d')}. Seconds are processor time.\n\n{HEADER}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for given in chosen.sources:
            source = without_steps(given, Path(folder)) if chosen.without_steps else given
            for size in chosen.sizes.split(","):
                told = line(
                    source, parse_quantity(size), Path(folder), json_load=not chosen.without_json_load
                )
                print(told, flush=True)
        print(f"\n{small(SAMPLE, Path(folder))}")


if __name__ == "__main__":
    main()
