"""What reading stacks costs: `python benchmarks/stacks.py TRACE ... [--size 100MB]`.

Each trace is tiled to the size and reported as it is, and with its `python_function` rows under another
category of the same length, which the reader skips: the text is as long, and only the frames are gone.
Processor time is the best of several of a process of its own; compare ratios within one run.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from run import TRACEANALYZE, Run, best, machine
from tile import tile

from traceanalyzer.records.units import parse_quantity

FRAMES, SKIPPED = b'"python_function"', b'"python_funct_off"'
TIMES = 3


def report(trace: Path, folder: Path) -> Run:
    return best(TIMES, *TRACEANALYZE, "report", "-q", str(trace), "-o", str(folder / "r.json"), "--force")


def line(source: Path, size: float, folder: Path) -> str:
    whole, skipped = folder / "whole.json", folder / "skipped.json"
    tile(str(source), whole, size)
    text = whole.read_bytes()
    skipped.write_bytes(text.replace(FRAMES, SKIPPED))
    frames, megabytes = text.count(FRAMES), len(text) / 1e6
    del text
    read, without = report(whole, folder), report(skipped, folder)
    cells = (
        source.name.split(".")[0], f"{megabytes:,.0f} MB", f"{frames:,}",
        f"{without.processor_s:.2f} s", f"{read.processor_s:.2f} s",
        f"{read.processor_s / without.processor_s:.2f}",
        f"{without.peak_bytes / 2**20:,.0f} MiB", f"{read.peak_bytes / 2**20:,.0f} MiB",
        f"{read.peak_bytes / without.peak_bytes:.2f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("sources", nargs="+", type=Path, metavar="TRACE")
    options.add_argument("--size", default="100MB")
    chosen = options.parse_args()
    print(
        f"{machine()}\n\n| trace | size | frames | skipped | read | ratio | skipped, memory | read, memory "
        "| ratio |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for source in chosen.sources:
            print(line(source, parse_quantity(chosen.size), Path(folder)), flush=True)


if __name__ == "__main__":
    main()
