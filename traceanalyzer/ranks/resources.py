"""What this process may use: cores and memory, as the kernel and its control group allow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from traceanalyzer import machine

_BASE_BYTES = 150e6  # of a worker before it reads anything, and what a small trace of many shapes needs
_BYTES_A_BYTE = 1.6  # of text: a CPU trace, in which each operator is a record; a GPU trace needs a fifth
_PACKED = 12  # a gzip file's text is rarely more than so many times its size
_PACKINGS = (".gz", ".xz", ".bz2", ".zst")
_NAMED = (".json", *(f".json{ending}" for ending in _PACKINGS))  # as traces are
_SHARE = 0.8  # of the free memory; the rest is for what others do meanwhile


def cores() -> int:
    """The cores that this process may use at once, at least one."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = machine.quota_cores()
    return max(1, int(min(count, count if quota is None else quota)))


def jobs_that_fit(files: Sequence[str], wanted: int) -> int:
    """At most `wanted`: as many of the largest files at once as memory allows, and at least one."""
    free = free_bytes()
    if free is None:
        return max(1, min(wanted, len(files)))
    needs, together = sorted(map(needed_bytes, files), reverse=True)[:wanted], 0.0
    for count, need in enumerate(needs):
        together += need
        if together > _SHARE * free:
            return max(1, count)
    return max(1, len(needs))


def needed_bytes(file: str) -> float:
    """The most memory that the analysis of a file is likely to take, by its size."""
    return _BASE_BYTES + _BYTES_A_BYTE * text_bytes(file)


def text_bytes(file: str) -> int:
    """About how much text a file holds; 0 where that cannot be told here."""
    size = file_bytes(file)
    return size * _PACKED if file.endswith(_PACKINGS) else size


def at_first_sight(paths: Sequence[str]) -> list[str]:
    """About the files that are meant, by their endings alone: folders replaced by what is in them."""
    files: list[str] = []
    for path in paths:
        try:
            names = sorted(os.listdir(path)) if os.path.isdir(path) else None
        except OSError:
            names = []
        files += [path] if names is None else [
            os.path.join(path, name) for name in names if name.endswith(_NAMED)
        ]  # fmt: skip
    return files


def file_bytes(file: str) -> int:
    """Its size; 0 of what is no file here."""
    try:
        return os.stat(file).st_size
    except (OSError, ValueError):
        return 0


def largest_first(files: Sequence[str]) -> list[int]:
    """The files' numbers, so that what is left for the end is short."""
    return sorted(range(len(files)), key=lambda number: -file_bytes(files[number]))


def free_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not tell."""
    limits = [_available(), *(_left(group) for group in machine.control_groups("memory"))]
    return min((left for left in limits if left is not None), default=None)


def _available() -> int | None:
    for line in machine.system_text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left(group: Path) -> int | None:
    """What the group may still take; pages that only cache files are let go of when needed."""
    for limit, used in (("max", "current"), ("limit_in_bytes", "usage_in_bytes")):
        most, now = (machine.system_text(group / f"memory.{name}").strip() for name in (limit, used))
        if most.isdecimal() and now.isdecimal():
            return max(0, int(most) - int(now) + _cached(group))
    return None


def _cached(group: Path) -> int:
    lines = [line.partition(" ") for line in machine.system_text(group / "memory.stat").splitlines()]
    return next((int(n) for name, _, n in lines if name in ("inactive_file", "total_inactive_file")), 0)
