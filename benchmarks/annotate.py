"""What `annotate` costs beside `report`: `python benchmarks/annotate.py TRACE ...`.

Both read the same trace in turn, each in a process of its own; processor time is the best of several. The
ratios are of one run: time and memory themselves are the machine's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from run import TRACEANALYZE, best, machine

TIMES = 4
HEADER = (
    "| trace | size | report | annotate | ratio | report, memory | annotate, memory | ratio | written |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def line(trace: Path, folder: Path) -> str:
    report, copy = str(folder / "r.json"), folder / "a.json.gz"
    whole = best(TIMES, *TRACEANALYZE, "report", "-q", str(trace), "-o", report, "--force")
    both = best(TIMES, *TRACEANALYZE, "annotate", "-q", str(trace), "-o", str(copy), "--force")
    cells = (
        trace.name.split(".")[0],
        f"{trace.stat().st_size / 1e6:.1f} MB",
        f"{whole.processor_s:.2f} s",
        f"{both.processor_s:.2f} s",
        f"{both.processor_s / whole.processor_s:.2f}",
        f"{whole.peak_bytes / 2**20:,.0f} MiB",
        f"{both.peak_bytes / 2**20:,.0f} MiB",
        f"{both.peak_bytes / whole.peak_bytes:.2f}",
        f"{copy.stat().st_size / 1e6:.1f} MB",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    print(f"{machine()}\n\n{HEADER}")
    with tempfile.TemporaryDirectory() as folder:
        for trace in sys.argv[1:]:
            print(line(Path(trace), Path(folder)), flush=True)


if __name__ == "__main__":
    main()
