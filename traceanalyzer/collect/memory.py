"""Memory of the process in bytes: the script's peak, and what the profiler's records take."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from traceanalyzer.collect.accelerator import in_use

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Records grow while steps are captured, and tenfold when the profiler turns them into events: measured
# with torch 2.13, 24,000 and 90,000 operators, 3 KB and 32 KB each.
_EXPORT_GROWTH = 10


def peak_memory_bytes() -> int | None:
    """On a GPU the peak of allocated tensors so far; else the peak resident size of the process."""
    import torch

    if in_use() == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if resource is None:
        return None
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024  # getrusage(2): KiB; on macOS bytes


def resident_bytes() -> int | None:
    """What the process holds now; None where unknown."""
    return _kilobytes("/proc/self/status", "VmRSS")


def fills_memory(grown_bytes: int) -> bool:
    """Whether records of so many bytes would take over half of the free memory when they become events."""
    free = _kilobytes("/proc/meminfo", "MemAvailable")
    return free is not None and _EXPORT_GROWTH * grown_bytes > free // 2


def trim_heap() -> None:
    """Hand freed memory to the system: the profiler leaves hundreds of megabytes of it in the heap."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # not glibc
        return


def _kilobytes(file: str, key: str) -> int | None:
    try:
        for line in Path(file).read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
