"""`diff` held against changes that are measured: `python benchmarks/changes.py [--only NAME ...]`.

Of each change three runs of five steps a side are recorded, one side after the other, and compared. The
change of further pairs of runs, which the comparison has not seen, should lie inside its interval; what it
names as the largest change stands beside what was changed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

import traceanalyzer
from traceanalyzer.device.calibrate import processor
from traceanalyzer.records import Analysis, Comparison
from traceanalyzer.records.units import duration

STEP = Path(__file__).parent / "changes" / "step.py"
CONVNET = Path(__file__).parents[1] / "examples" / "convnet.py"
IMAGES = ("--batch", "16")  # enough for the layout to show beside the noise of a small machine
RUNS, STEPS, FURTHER = 3, 5, 10
NAMED = re.compile(r" is (\S.*?: [+-]\S+ \S+?)[,.]")


@dataclass(frozen=True)
class Changed:
    """A script with and without some flags, and a part of a name that the comparison should give."""

    name: str
    script: Path
    base: tuple[str, ...]
    head: tuple[str, ...]
    named: str  # in the name or the rows of the entry that explains it


CHANGES = (
    Changed("eager, then compiled", STEP, (), ("--compile",), "cpp_fused"),
    Changed("attention written out, then one call", STEP, (), ("--attention",), "scaled_dot_product"),
    Changed("AdamW, then fused", STEP, (), ("--adamw",), "_fused_adamw_"),
    Changed("NCHW, then channels_last", CONVNET, IMAGES, (*IMAGES, "--channels-last"), "convolution"),
    Changed("norms of gradients' rows, read one by one", STEP, ("--adamw",), ("--adamw", "--items"), "norm"),
    Changed("copies too many", STEP, ("--adamw",), ("--adamw", "--copies"), "copy_"),
    Changed("fp32, then fp64", STEP, ("--adamw",), ("--adamw", "--fp64"), "mm"),
    Changed("nothing", STEP, ("--adamw",), ("--adamw",), ""),
)


def recorded(change: Changed, words: tuple[str, ...], path: Path) -> Analysis:
    command = [
        sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--no-roofs", "--no-evidence",
        "--no-memory", "--active", str(STEPS), "-q", "--force", "-o", str(path), str(change.script), *words,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, env={**os.environ})
    return traceanalyzer.analyze(path)


def step_ns(analysis: Analysis) -> float:
    return median(step.device_ns for step in analysis.step_rows or ())


def pairs(change: Changed, folder: Path, count: int) -> Iterator[tuple[Analysis, Analysis]]:
    """One run of each side after the other, so that what drifts meets both."""
    for number in range(count):
        words = (change.base, change.head)
        base, head = (recorded(change, each, folder / f"{number}.json.gz") for each in words)
        yield base, head


def line(change: Changed, folder: Path) -> str:
    base, head = map(list, zip(*pairs(change, folder, RUNS), strict=True))
    comparison = traceanalyzer.compare(base, head)
    truth = median(step_ns(b_head) - step_ns(b_base) for b_base, b_head in pairs(change, folder, FURTHER))
    step = comparison.step_ns
    assert step.low is not None and step.high is not None
    inside = "yes" if step.low <= truth <= step.high else "no"
    plain = comparison.unprofiled_step_ns
    cells = [
        change.name, step.verdict, signed(step.change or 0), f"{signed(step.low)} to {signed(step.high)}",
        signed(truth), inside, signed(plain.change) if plain else "–", explained(comparison, change),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def explained(comparison: Comparison, change: Changed) -> str:
    """What the sentence names first, and whether what was changed is among the three largest changes."""
    named_first = NAMED.search(comparison.sentence)
    culprit = comparison.culprit
    shown = (
        named_first[1] if named_first else f"{culprit.name}: {signed(culprit.change_ns)}" if culprit else "–"
    )
    first = [op for op in comparison.ops if op.change_ns][:3]
    named = [op for op in first if any(change.named in row.name for row in (*op.base, *op.head))]
    return f"`{shown[:60]}`" + (
        f"; {named[0].match} {named[0].how or ''}".rstrip() if named and change.named else ""
    )


def signed(ns: float) -> str:
    return f"{'-' if ns < 0 else '+'}{duration(abs(ns), 2)}"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--only", action="append", help="changes whose name holds this; repeats")
    chosen = options.parse_args()
    said = [
        f"{processor()}, torch {torch.__version__}; {RUNS} runs of {STEPS} steps a side, truth: the median "
        f"of {FURTHER} further pairs of runs.", "",
        "| change | verdict | change of the step | interval (95 %) | truth | inside | without the profiler "
        "| named first |", "|---|---|---:|---:|---:|---|---:|---|",
    ]  # fmt: skip
    print("\n".join(said), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for change in CHANGES:
            if chosen.only is None or any(part in change.name for part in chosen.only):
                said.append(line(change, Path(folder)))
                print(said[-1], flush=True)


if __name__ == "__main__":
    main()
