"""What `profile` costs a script beside the capture itself: its steps outside of it, against a bare run's.

`python benchmarks/overhead.py [--seconds 60] [--pairs 8]` runs `steady.py` bare and profiled in turn and
prints the ratios of the time a step as Markdown. The capture interval, from the arming of the profiler to the
end of the evidence step, is taken out, with its steps, and printed.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SCRIPT = Path(__file__).parent / "steady.py"
CAPTURED = 2 + 3 + 1 + 1  # warm-up, active steps, the pause and the evidence step
PROFILE = (sys.executable, "-m", "traceanalyzer", "profile", "-v", "--no-report", "--no-roofs", "--force")


def bare(steps: int) -> float:
    """Seconds a step of a bare run."""
    done = subprocess.run([sys.executable, SCRIPT, str(steps)], capture_output=True, text=True, check=True)
    return seconds(done.stdout) / steps


def profiled(steps: int, folder: str) -> tuple[float, float]:
    """Seconds a step outside of the capture, and seconds of the capture."""
    command = [*PROFILE, "-o", f"{folder}/t.trace.json.gz", str(SCRIPT), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"the capture took ([0-9.]+) s", done.stderr)
    if found is None:
        raise SystemExit(f"no capture: {done.stderr}")
    capture_s = float(found[1])
    return (seconds(done.stdout) - capture_s) / (steps - CAPTURED), capture_s


def seconds(stdout: str) -> float:
    return float(stdout.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pairs", type=int, default=8)
    args = parser.parse_args()
    steps = max(100, round(1.05 * args.seconds / bare(1000)))
    print(f"{steps:,} steps a run; {platform.machine()}, Python {platform.python_version()}\n")
    print("| pair | bare, ms a step | profiled, ms a step | ratio | capture, s |\n|---:|---:|---:|---:|---:|")
    alone, ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(args.pairs):
            if pair % 2:  # whichever comes second finds a warmer machine
                within, capture_s = profiled(steps, folder)
                without = bare(steps)
            else:
                without = bare(steps)
                within, capture_s = profiled(steps, folder)
            alone.append(without)
            ratios.append(within / without)
            times = f"{1e3 * without:.3f} | {1e3 * within:.3f}"
            print(f"| {pair + 1} | {times} | {ratios[-1]:.4f} | {capture_s:.2f} |", flush=True)
    print(f"\nmedian ratio {median(ratios):.4f}; the bare runs spread over {max(alone) / min(alone):.4f}")


if __name__ == "__main__":
    main()
