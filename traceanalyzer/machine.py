"""What the system says of this machine; imports nothing that a script may want to load itself."""

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


def control_groups(controller: str) -> list[Path]:
    """This process' control group and those around it, of version 2 and of version 1."""
    groups: list[Path] = []
    for line in system_text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup", controller if controllers else "")
        inner = root / path.lstrip("/")
        groups += [each for each in (inner, *inner.parents) if each.is_relative_to(root)]
    return groups


def quota_cores() -> float | None:
    """Cores' worth of time that this process may use by its control groups; None where they set no limit."""
    quotas = (_quota(group) for group in control_groups("cpu"))
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    quota, _, period = system_text(group / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = (system_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def system_text(path: str | Path) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
