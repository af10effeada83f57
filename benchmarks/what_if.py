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
from collections.abc import Iterator
from pathlib import Path

import tables
import torch

import traceanalyzer
from traceanalyzer.assembly.what_if import projections
from traceanalyzer.device.calibrate import processor
from traceanalyzer.records import Analysis

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = ("gpt.py", "convnet.py", "mlp_block.py")


def recorded(script: str, threads: int, folder: Path) -> Analysis:
    path = folder / f"{script}.{threads}.json.gz"
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "-o", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([*command, str(EXAMPLES / script)], check=True, capture_output=True, env=environment)
    return traceanalyzer.analyze(path)


def busy_ms(analysis: Analysis) -> float:
    return analysis.time.busy_ns / max(1, len(analysis.window.steps)) / 1e6


def lines(script: str, folder: Path) -> Iterator[str]:
    one, two = recorded(script, 1, folder), recorded(script, 2, folder)
    for here, there, name in ((one, two, "1 to 2"), (two, one, "2 to 1")):
        steps = len(here.window.steps)
        (told,) = projections(here.op_rows, here.device, here.time, steps, [there.device])
        projected = told.busy_ns / max(1, len(here.window.steps)) / 1e6
        truth = busy_ms(there)
        shares = f"{told.memory_bound_share_of_busy:.0%} | {there.memory_bound.share_of_busy:.0%}"
        yield (
            f"| {script} | {name} | {busy_ms(here):.1f} | {projected:.1f} | {truth:.1f} "
            f"| {projected / truth - 1:+.0%} | {shares} |"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--write", action="store_true", help="into docs/what-if.md")
    write = options.parse_args().write
    said = [f"On {processor()}, torch {torch.__version__}, busy ms a step:", ""]
    said.append("| script | threads | busy here | projected | measured there | error "
                "| memory-bound, projected | measured |")  # fmt: skip
    said.append("|---|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for script in SCRIPTS:
            said += lines(script, Path(folder))
    print("\n".join(said))
    if write:
        tables.write("what-if.md", "pairs", said)


if __name__ == "__main__":
    main()
