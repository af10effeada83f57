"""Roofs of the device at hand: bandwidth and product rates, the launch floor, where the cache ends."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

import torch
from common import Section, saved

SIZES = [1 << power for power in range(18, 31)]  # bytes of one tensor


def copies(device: str, sizes: list[int]) -> list[dict[str, float]]:
    """Bandwidth of copying one tensor into another again and again: high while both stay in the cache."""
    found = []
    for size in sizes:
        source, target = (torch.rand(size // 4, device=device) for _ in range(2))
        rates = [2 * size / seconds(device, partial(target.copy_, source)) for _ in range(5)]
        found.append({"bytes": 2 * size, "bytes_per_s": median(rates)})
    return found


def seconds(device: str, run: Any, repeats: int = 20) -> float:
    """Of one run among several in a row; on a GPU by its own events."""
    run()
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            run()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000 / repeats
    import time

    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begin) / repeats


def main(section: Section) -> None:
    device = "cpu" if section.dry else "cuda"
    saved(section, "copies", copies(device, SIZES[:2] if section.dry else SIZES))
    target = section.folder / "here.toml"
    command = [sys.executable, "-m", "traceanalyzer", "calibrate", "-o", str(target), "--force"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=section.left_s(120), check=False)
    saved(section, "calibrated", {"said": done.stderr, "file": target.read_text() if target.exists() else ""})
    if not section.dry:
        from traceanalyzer.device.calibrate_gpu import measure_gpu

        saved(section, "roofs", asdict(measure_gpu().spec))


if __name__ == "__main__":
    main(Section.from_arguments())
