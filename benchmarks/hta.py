"""What HTA and TraceLens cost beside us, on the same trace in one run.

`python benchmarks/hta.py [--sizes 10MB,100MB] [SOURCE ...]` tiles each source (a trace with GPU activity;
by default a small one written here) to each size and prints two tables as Markdown: `to_hta()` against
HTA's own loading, and a whole `report` against `TraceAnalysis` with two of its analyses, and two tables
of TraceLens where AMD's is installed (from its repository: the distribution of that name is another
program). Seconds are processor time of a process of its own, the best of several; compare ratios within
one run. Each process starts Python and imports what it needs, as a user's does; HTA's own modules, which both
sides import, and ours are measured alone too, so that the columns of loading are without any imports.
`--loading` leaves the tables of whole reports out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import tempfile
from pathlib import Path

from run import TRACEANALYZE, Run, best
from tile import tile

from traceanalyzer.records.units import parse_quantity

IMPORTS = """
import sys
from hta.trace_analysis import TraceAnalysis
"""
BOTH_IMPORTS = (
    IMPORTS
    + """
from traceanalyzer.ranks.hta import trace_analysis
"""
)
OURS = (
    BOTH_IMPORTS
    + """
trace_analysis((sys.argv[1],))
"""
)
LOADING = (
    IMPORTS
    + """
analysis = TraceAnalysis({0: sys.argv[1]}, "", include_last_profiler_step=True)
"""
)
TWO_ANALYSES = (
    LOADING
    + """
analysis.get_temporal_breakdown(visualize=False)
analysis.get_gpu_kernel_breakdown(visualize=False)
"""
)
TRACELENS = """
import sys
from TraceLens import TreePerfAnalyzer
analyzer = TreePerfAnalyzer.from_file(sys.argv[1])
analyzer.get_df_gpu_timeline()
analyzer.get_df_kernel_launchers()
"""
LOADS = ("| source | size | `to_hta()` | HTA's loading | times as fast | memory | HTA's | times as lean "
         "| its imports | and ours | loading, ours | HTA's | times as fast |\n"
         "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
REPORTS = ("| source | size | report | HTA, two analyses | times as fast | memory | HTA's | times as lean "
           "| TraceLens | times as fast | times as lean |\n"
           "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
ROUNDS = 3


def sample(path: Path) -> Path:
    """Six steps of two hundred operators, each with a launch and a kernel."""
    events = []
    for step in range(6):
        start = 10_000 * step
        events.append(row("user_annotation", f"ProfilerStep#{step}", start, 9_000, 1))
        for number in range(200):
            ts, correlation = start + 40 * number, 1 + 200 * step + number
            events.append(row("cpu_op", "aten::mm", ts, 20.5, 1, **{"External id": correlation}))
            events.append(row("cuda_runtime", "cudaLaunchKernel", ts + 5, 5.25, 1, correlation=correlation))
            events.append(row("kernel", "gemm", ts + 15, 30.75, 7, pid=0, device=0, stream=7,
                              correlation=correlation))  # fmt: skip
    document = {"schemaVersion": 1, "baseTimeNanoseconds": 0, "traceEvents": events}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def row(
    cat: str, name: str, ts: float, dur: float, tid: int, pid: int = 10, **args: object
) -> dict[str, object]:
    return {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args}


def code(program: str, trace: Path) -> Run:
    """The best of several processes that run it."""
    return best(ROUNDS, sys.executable, "-c", program, str(trace))


def against(ours: Run, theirs: Run) -> tuple[str, ...]:
    """Seconds of both and their ratio, memory of both and theirs."""
    return (
        f"{ours.processor_s:.2f} s", f"{theirs.processor_s:.2f} s",
        f"{theirs.processor_s / ours.processor_s:.1f}", f"{ours.peak_bytes / 1e6:,.0f} MB",
        f"{theirs.peak_bytes / 1e6:,.0f} MB", f"{theirs.peak_bytes / ours.peak_bytes:.1f}",
    )  # fmt: skip


def lines(source: Path, size: float, folder: Path, *, reports: bool) -> tuple[str, str]:
    """One line of each table."""
    trace = folder / "trace.json"
    tile(str(source), trace, size)
    head = (source.name.split(".")[0], f"{trace.stat().st_size / 1e6:,.0f} MB")
    loads = loading(trace)
    if not reports:
        return f"| {' | '.join(head + loads)} |", ""
    report = best(ROUNDS, *TRACEANALYZE, "report", "-q", str(trace), "-o", str(folder / "r.html"), "--force")
    cells = against(report, code(TWO_ANALYSES, trace)) + tracelens(report, trace)
    trace.unlink()
    return f"| {' | '.join(head + loads)} |", f"| {' | '.join(head + cells)} |"


def loading(trace: Path) -> tuple[str, ...]:
    """Both ways as a user has them, and without what they import."""
    theirs_alone, both = code(IMPORTS, trace).processor_s, code(BOTH_IMPORTS, trace).processor_s
    ours, theirs = code(OURS, trace), code(LOADING, trace)
    mine, other = ours.processor_s - both, theirs.processor_s - theirs_alone
    imports = f"{theirs_alone:.2f} s", f"{both - theirs_alone:.2f} s"
    return (*against(ours, theirs), *imports, f"{mine:.2f} s", f"{other:.2f} s", f"{other / mine:.1f}")


def tracelens(report: Run, trace: Path) -> tuple[str, str, str]:
    """Its seconds, and both ratios; empty where it is not installed."""
    if importlib.util.find_spec("TraceLens") is None:
        return "", "", ""
    theirs = code(TRACELENS, trace)
    return (f"{theirs.processor_s:.2f} s", f"{theirs.processor_s / report.processor_s:.1f}",
            f"{theirs.peak_bytes / report.peak_bytes:.1f}")  # fmt: skip


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10MB,100MB")
    parser.add_argument("--loading", action="store_true")
    parser.add_argument("sources", nargs="*", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = options.sources or [sample(folder / "sample.json")]
        sizes = [parse_quantity(text) for text in options.sizes.split(",")]
        rows = [lines(source, size, folder, reports=not options.loading)
                for source in sources for size in sizes]  # fmt: skip
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print(LOADS, *(load for load, _ in rows), sep="\n")
    if not options.loading:
        print()
        print(REPORTS, *(report for _, report in rows), sep="\n")


if __name__ == "__main__":
    main()
