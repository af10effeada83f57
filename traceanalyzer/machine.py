"""What the system says of this machine's processor; imports nothing that a script may want to load itself."""

from __future__ import annotations

import platform
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu")


def processor() -> str:
    """The CPU's name, from the system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = (line.partition(": ")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, names), "") or platform.processor() or platform.machine() or "CPU"


def cache_bytes(root: Path = _CACHES) -> int | None:
    """All of the last-level caches together; None where unknown."""
    levels: dict[int, dict[str, int]] = {}
    for folder in root.glob("cpu[0-9]*/cache/index[0-9]*"):
        try:
            level, size, sharers = ((folder / key).read_text().strip() for key in _CACHE_KEYS)
            levels.setdefault(int(level), {})[sharers] = int(size.removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    return sum(levels[max(levels)].values()) or None if levels else None


_CACHE_KEYS = ("level", "size", "shared_cpu_list")
