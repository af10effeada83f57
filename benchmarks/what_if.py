"""Projections against what was measured: `python benchmarks/what_if.py [--write]`.

A CPU with one thread and the same CPU with two are a pair of devices. Each example is recorded on both, with
the roofs of each, and projected from either onto the other; the table says how far that is from the truth.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import tables
import torch

import traceanalyzer
from traceanalyzer.assembly.what_if import projections
from traceanalyzer.assembly.what_if_rows import work_of
from traceanalyzer.device.calibrate import processor
from traceanalyzer.device.typical import Kind
from traceanalyzer.records import Analysis, OpRow

EXAMPLES = Path(__file__).parents[1] / "examples"
LEAST = 0.05  # of a step: less of a kind of work is not compared
SCRIPTS = ("gpt.py", "convnet.py", "mlp_block.py")


def recorded(script: str, threads: int, folder: Path) -> Analysis:
    path = folder / f"{script}.{threads}.json.gz"
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--roofs", "fresh", "-o",
               str(path)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([*command, str(EXAMPLES / script)], check=True, capture_output=True, env=environment)
    return traceanalyzer.analyze(path)


def busy_ms(analysis: Analysis) -> float:
    return analysis.time.busy_ns / steps_of(analysis) / 1e6


def steps_of(analysis: Analysis) -> int:
    return max(1, len(analysis.window.steps))


def priced(analysis: Analysis, work: Kind) -> list[OpRow]:
    return [row for row in analysis.op_rows if row.verdict != "unmodelled" and work_of(row) == work]


def of_work(here: Analysis, there: Analysis, work: Kind) -> float | None:
    """Projected over measured time of this kind of work; None for less than a twentieth of the step."""
    truth = sum(row.attributed_ns for row in priced(there, work)) / steps_of(there)
    if truth < LEAST * there.time.busy_ns / steps_of(there):
        return None
    (told,) = projections(priced(here, work), here.device, here.time, steps_of(here), [there.device])
    return told.busy_ns / steps_of(here) / truth


def line(script: str, name: str, here: Analysis, there: Analysis) -> str:
    (told,) = projections(here.op_rows, here.device, here.time, steps_of(here), [there.device])
    projected, truth = told.busy_ns / steps_of(here) / 1e6, busy_ms(there)
    shares = f"{told.memory_bound_share_of_busy:.0%} | {there.memory_bound.share_of_busy:.0%}"
    return (
        f"| {script} | {name} | {busy_ms(here):.1f} | {projected:.1f} | {truth:.1f} "
        f"| {projected / truth - 1:+.0%} | {shares} |"
    )


def pairs(folder: Path) -> Iterator[tuple[str, str, Analysis, Analysis]]:
    """(script, threads, recorded, projected onto)"""
    for script in SCRIPTS:
        one, two = recorded(script, 1, folder), recorded(script, 2, folder)
        yield script, "1 to 2", one, two
        yield script, "2 to 1", two, one


def by_work(measured: Sequence[tuple[str, str, Analysis, Analysis]]) -> Iterator[str]:
    """How far the parts of a step are off, whose errors make up for each other in its sum."""
    yield "| work | pairs with at least 5% of it | projected / measured |"
    yield "|---|---:|---:|"
    for work in get_args(Kind):
        ratios = [r for _, _, here, there in measured if (r := of_work(here, there, work)) is not None]
        if ratios:
            yield f"| {work} | {len(ratios)} | {min(ratios):.2f} to {max(ratios):.2f} |"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--write", action="store_true", help="into docs/what-if.md")
    write = options.parse_args().write
    said = [f"On {processor()}, torch {torch.__version__}, busy ms a step:", ""]
    said.append("| script | threads | busy here | projected | measured there | error "
                "| memory-bound, projected | measured |")  # fmt: skip
    said.append("|---|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        measured = list(pairs(Path(folder)))
    said += [line(*each) for each in measured]
    said += ["", *by_work(measured)]
    print("\n".join(said))
    if write:
        tables.write("what-if.md", "pairs", said)


if __name__ == "__main__":
    main()
