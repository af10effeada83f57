"""Whose `malloc` the process uses, and whether it is told to keep what is freed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from traceanalyzer.records.recording import Allocator

_OTHERS: tuple[Allocator, ...] = ("jemalloc", "tcmalloc", "mimalloc")
# What makes glibc keep large blocks, by any of its names: "Memory Allocation Tunables" of its manual.
_TUNABLES = ("glibc.malloc.mmap_threshold", "glibc.malloc.mmap_max", "glibc.malloc.trim_threshold")
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_")


def allocator() -> Allocator | None:
    """None where that is not known, as on other systems than Linux.

    By the library that the function PyTorch allocates with lies in: one that is merely loaded, as by
    another package for its own use, does not count.
    """
    try:
        function = ctypes.cast(ctypes.CDLL(None).posix_memalign, ctypes.c_void_p).value
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, AttributeError, TypeError):
        return None
    return named(library_at(function or 0, lines), os.environ)


def named(library: str, environment: Mapping[str, str]) -> Allocator | None:
    """The allocator in a library of this file name, in a process with this environment."""
    for other in _OTHERS:
        if other in library:
            return other
    if not library.startswith(("libc.so.6", "libc-2.")):
        return None
    settings = environment.get("GLIBC_TUNABLES", "").split(":")
    tuned = any(each.partition("=")[0] in _TUNABLES for each in settings) or any(
        map(environment.get, _VARIABLES)
    )
    return "glibc_tuned" if tuned else "glibc"


def library_at(address: int, maps: Iterable[str]) -> str:
    """The file name of what is mapped there, by lines of /proc/PID/maps; empty where nothing is."""
    for line in maps:
        span, *rest = line.split(maxsplit=5)
        first, _, end = span.partition("-")
        if len(rest) == 5 and int(first, 16) <= address < int(end, 16):
            return PurePosixPath(rest[4]).name
    return ""
