"""How often `diff` sees a change where there is none: `python benchmarks/noise.py [--record] [--write]`.

`--record` runs one training step many times and keeps the lengths of its steps in changes/step_times.json.
Null pairs are drawn from these: runs of one program, assigned to two sides at random. A slowdown of 5 % is
added to one side to see how often it is found, and whether the interval holds it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import changes
import numpy as np
import tables
import torch

from traceanalyzer.comparison import noise
from traceanalyzer.comparison.conditions import MINIMUM_CHANGE_SHARE
from traceanalyzer.device.calibrate import processor

TIMES = Path(__file__).parent / "changes" / "step_times.json"
RECORDED, PAIRS, SLOWER = 24, 400, 0.05
SETTINGS = ((3, 5), (3, 3), (2, 5), (1, 3), (1, 4), (1, 5))  # runs a side, steps a run
Runs = list[list[int]]


def record() -> None:
    same = next(change for change in changes.CHANGES if change.base == change.head)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RECORDED):
            analysis = changes.recorded(same, same.base, Path(folder) / "run.json.gz")
            runs.append([step.device_ns for step in analysis.step_rows or ()])
    about = f"{processor()}, torch {torch.__version__}"
    TIMES.write_text(json.dumps({"about": about, "step_ns": runs}, indent=1) + "\n", encoding="utf-8")


def sides(numbers: np.random.Generator, recorded: Runs, runs: int, steps: int) -> tuple[Runs, Runs]:
    """No run is on both sides, and each has its steps in an order of chance."""
    chosen = numbers.choice(len(recorded), 2 * runs, replace=False)
    drawn = [numbers.permutation(recorded[run])[:steps].tolist() for run in chosen]
    return drawn[:runs], drawn[runs:]


def counted(recorded: Runs, runs: int, steps: int) -> tuple[int, int, int]:
    """False alarms, slowdowns found, and intervals that hold the slowdown, of PAIRS each."""
    numbers = np.random.default_rng(11)
    alarms = caught = inside = 0
    for _ in range(PAIRS):
        base, head = sides(numbers, recorded, runs, steps)
        alarms += _called(base, head)
        slower = [[round(ns * (1 + SLOWER)) for ns in run] for run in head]
        interval = noise.change_interval(base, slower)
        assert interval is not None
        caught += interval.low > 0
        inside += interval.low <= SLOWER * noise.median(head) <= interval.high
    return alarms, caught, inside


def _called(base: Runs, head: Runs) -> bool:
    interval = noise.change_interval(base, head)
    change = noise.median(head) - noise.median(base)
    assert interval is not None
    return interval.excludes(0) and abs(change) >= MINIMUM_CHANGE_SHARE * noise.median(base)


def lines() -> list[str]:
    document = json.loads(TIMES.read_text(encoding="utf-8"))
    recorded: Runs = document["step_ns"]
    medians = [float(np.median(run)) for run in recorded]
    between = np.std(medians, ddof=1) / np.mean(medians)
    within = np.median([np.std(run, ddof=1) / np.mean(run) for run in recorded])
    said = [
        f"{document['about']}: {len(recorded)} runs, whose medians differ by {between:.1%} and whose steps "
        f"by {within:.1%} (standard deviation). Of {PAIRS} pairs each:", "",
        "| runs a side | steps a run | called faster or slower without a change | 5 % slower found "
        "| inside the interval |", "|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for runs, steps in SETTINGS:
        alarms, caught, inside = counted(recorded, runs, steps)
        said.append(f"| {runs} | {steps} | {alarms} | {caught} | {inside} |")
    return said


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--record", action="store_true", help="run the step again")
    options.add_argument("--write", action="store_true", help="into docs/compare.md")
    chosen = options.parse_args()
    if chosen.record:
        record()
    said = lines()
    print("\n".join(said))
    if chosen.write:
        tables.write("compare.md", "noise", said)


if __name__ == "__main__":
    main()
