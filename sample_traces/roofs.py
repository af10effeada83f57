"""The roofs of the CPU at hand, measured: what streams from memory, what multiplies, what a tiny op costs.

A roof is the best seen, not the usual: too low a figure would make ordinary operators look better than
possible. All traffic is counted as the analysis counts it, every tensor read once and written once.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

_ELEMENTS = 1 << 27  # 512 MiB of fp32: far larger than any last-level cache
_WIDTHS = (256, 512, 1024, 2048)
_TIMES = 15


def _rate(amount: float, function: Callable[[], Any]) -> float:
    """`amount` a second in the fastest run: noise only ever slows down."""
    function()
    best = float("inf")
    for _ in range(_TIMES):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return amount / best


def bandwidth_bytes_per_s() -> float:
    """The best of four streams. Writing elsewhere makes most CPUs read what is overwritten; in place not."""
    a, b = torch.ones(_ELEMENTS), torch.ones(_ELEMENTS)
    size = 4 * _ELEMENTS
    return max(
        _rate(2 * size, lambda: a.mul_(1.0)),
        _rate(2 * size, lambda: b.copy_(a)),
        _rate(3 * size, lambda: b.add_(a)),
        _rate(size, lambda: a.sum()),
    )


def product_flop_per_s() -> float:
    """The best fp32 product: matrices that fit into caches and that do not, and a convolution."""
    rates = []
    for width in _WIDTHS:
        a, b, out = (torch.rand(width, width) for _ in range(3))
        rates.append(_rate(2 * width**3, lambda a=a, b=b, out=out: torch.mm(a, b, out=out)))  # type: ignore[misc]
    images, weights = torch.rand(16, 128, 56, 56), torch.rand(128, 128, 3, 3)
    work = 2 * 16 * 128 * 56 * 56 * 128 * 9
    return max(*rates, _rate(work, lambda: torch.conv2d(images, weights, padding=1)))


def launch_floor_ns() -> int:
    """Median self time of a one-element add under the profiler, with shapes recorded."""
    one = torch.ones(1)
    with torch.profiler.profile(record_shapes=True) as profiler:
        for _ in range(500):
            one + one
    return round(median(e.time_range.elapsed_us() * 1000 for e in profiler.events() if e.name == "aten::add"))


def measured() -> dict[str, Any]:
    """What `recording.cpu_roofs` holds.

    Products and element-wise code run on the same fused multiply-add units of a CPU, so the best product
    is the best measured lower bound of both roofs.
    """
    rate = round(product_flop_per_s())
    return {
        "name": _processor(),
        "threads": torch.get_num_threads(),
        "bandwidth_bytes_per_s": round(bandwidth_bytes_per_s()),
        "launch_floor_ns": launch_floor_ns(),
        "peaks": [{"engine": e, "precision": "fp32", "flop_per_s": rate} for e in ("matrix", "vector")],
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
