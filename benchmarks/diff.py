"""What `diff` costs beside the reports of its two sides: `python benchmarks/diff.py`.

Two traces of 10,000 rows each, of which none is the other side's: every row has to be matched. All three
run in turn, each in a process of its own; processor time is the best of several, and only the ratio counts.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

from run import TRACEANALYZE, best, machine

TIMES, ROWS, STEPS = 3, 10_000, 3
OPS = ("add", "mul", "gelu", "sum")
A100 = {"id": 0, "name": "NVIDIA A100-SXM4-80GB", "totalGlobalMem": 85174583296, "computeMajor": 8,
        "computeMinor": 0, "numSms": 108, "warpSize": 32}  # fmt: skip
EACH_US = 8.0


def written(path: Path, width: int) -> Path:
    """A trace whose every operator has sizes of its own, the last of them `width`."""
    rows: list[dict[str, Any]] = []
    for step in range(STEPS):
        start = step * ROWS * EACH_US
        rows.append(complete("user_annotation", f"ProfilerStep#{step}", 1, start, ROWS * EACH_US))
        for number in range(ROWS):
            rows += launched(step * ROWS + number, number, width)
    head = {"deviceProperties": [A100], "baseTimeNanoseconds": 1700000000000000000, "traceEvents": rows}
    with gzip.open(path, "wt", compresslevel=1) as file:
        json.dump(head, file)
    return path


def launched(count: int, number: int, width: int) -> list[dict[str, Any]]:
    """An operator, its launch and its kernel."""
    sizes = [number % 500 + 1, number // 500 + 1, width]
    ids = {"External id": count + 1, "correlation": count + 1}
    shapes = {"External id": count + 1, "Input Dims": [sizes, sizes], "Input type": ["float", "float"]}
    device = {**ids, "device": 0, "stream": 7, "grid": [200, 1, 1], "block": [128, 1, 1]}
    start = count * EACH_US
    return [
        complete("cpu_op", f"aten::{OPS[number % len(OPS)]}", 1, start, 5.0, **shapes),
        complete("cuda_runtime", "cudaLaunchKernel", 1, start + 1, 2.0, **ids),
        complete("kernel", f"kernel_{number % 300}", 7, start + 2, 4.0, **device),
    ]


def complete(category: str, name: str, thread: int, start: float, us: float, **args: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "pid": 1, "tid": thread, "ts": start, "dur": us,
            "args": args}  # fmt: skip


def main() -> None:
    print(f"{machine()}\n\n| rows a side | two reports | diff | ratio |\n|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sides = [written(folder / f"{width}.json.gz", width) for width in (64, 65)]
        page = str(folder / "page.html")
        alone = [best(TIMES, *TRACEANALYZE, "report", "-q", str(side), "-o", page, "--force")
                 for side in sides]  # fmt: skip
        both = best(TIMES, *TRACEANALYZE, "diff", "-q", *map(str, sides), "-o", page, "--force")
        reports = sum(each.processor_s for each in alone)
        print(f"| {ROWS:,} | {reports:.2f} s | {both.processor_s:.2f} s | {both.processor_s / reports:.2f} |")


if __name__ == "__main__":
    main()
