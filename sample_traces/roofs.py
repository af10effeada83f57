"""The roofs of the CPU at hand, measured: what streams from memory, what multiplies, what a tiny op costs."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

_ELEMENTS = 1 << 26  # 256 MB of fp32: far larger than any last-level cache share
_WIDTH = 1536
_CHAIN = 64


def _best(function: Callable[[], Any], times: int = 7) -> float:
    """Shortest run, in seconds: noise only ever adds."""
    function()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def bandwidth_bytes_per_s() -> float:
    """A copy between two tensors larger than cache: bytes read and written a second."""
    source, target = torch.ones(_ELEMENTS), torch.empty(_ELEMENTS)
    target.fill_(0)
    return 2 * 4 * _ELEMENTS / _best(lambda: target.copy_(source))


def product_flop_per_s() -> float:
    """A large fp32 product: the best rate the machine's own library reaches."""
    a, b = torch.rand(_WIDTH, _WIDTH), torch.rand(_WIDTH, _WIDTH)
    return 2 * _WIDTH**3 / _best(lambda: torch.mm(a, b))


def launch_floor_ns() -> int:
    """Median self time of a one-element add under the profiler, with shapes recorded."""
    one = torch.ones(1)
    with torch.profiler.profile(record_shapes=True) as profiler:
        for _ in range(500):
            one + one
    return round(median(e.time_range.elapsed_us() * 1000 for e in profiler.events() if e.name == "aten::add"))


def measured() -> dict[str, Any]:
    """What `recording.cpu_roofs` holds.

    On a CPU the matrix and the vector roof are the same units: products reach them best, so the rate of
    a product is the peak of both.
    """
    rate = product_flop_per_s()
    return {
        "name": _processor(),
        "threads": torch.get_num_threads(),
        "bandwidth_bytes_per_s": bandwidth_bytes_per_s(),
        "launch_floor_ns": launch_floor_ns(),
        "peaks": [{"engine": e, "precision": "fp32", "flop_per_s": rate} for e in ("matrix", "vector")],
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
