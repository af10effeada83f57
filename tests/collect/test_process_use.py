"""Page faults and system time of a stretch of a program, and whose malloc it runs with."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys

import pytest

from traceanalyzer.collect.allocator import library_at, named
from traceanalyzer.collect.process_use import ProcessUse, page_bytes
from traceanalyzer.collect.step_sizes import StepSizes
from traceanalyzer.collect.step_timer import StepTimer

LIBC = platform.libc_ver()[0] if sys.platform == "linux" else ""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MAPS = (
    "7f0000000000-7f0000001000 r-xp 00000000 08:01 11 /usr/lib/libjemalloc.so.2",
    "7f0000001000-7f0000002000 r-xp 00000000 08:01 12 /opt/a folder/libc.so.6",
    "7f0000002000-7f0000003000 rw-p 00000000 00:00 0",
)


@LINUX
def test_each_page_that_is_touched_first_is_one_fault() -> None:
    pages = 500
    with mmap.mmap(-1, pages * mmap.PAGESIZE) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        before = ProcessUse.now()
        for page in range(pages):
            memory[page * mmap.PAGESIZE] = 1
        used = ProcessUse.now().since(before)
        before = ProcessUse.now()
        for page in range(pages):
            memory[page * mmap.PAGESIZE] = 2
        again = ProcessUse.now().since(before)
    assert used.page_faults is not None and again.page_faults is not None
    assert used.page_faults >= pages > again.page_faults
    assert used.system_ns is not None and used.system_ns >= 0 < used.ns
    assert page_bytes() == mmap.PAGESIZE


def test_what_one_end_does_not_know_is_unknown() -> None:
    known = ProcessUse(10, 5, 7)
    assert ProcessUse(30).since(known) == ProcessUse(20, None, None)
    assert ProcessUse(30, 8, 9).since(known) == ProcessUse(20, 3, 2)


def test_steps_are_counted_between_the_ends_of_a_stretch_alone() -> None:
    timer, used = StepTimer(), ProcessUse(100, 3, 7)
    timer.step(used, StepSizes(1, {}))
    timer.begin()
    timer.step(used, StepSizes(1, {}))
    timer.step(used, StepSizes(1, {}))
    timer.end()
    timer.step(used, StepSizes(1, {}))
    assert timer.ns == [100, 100] and timer.used == [used, used]


@pytest.mark.parametrize(("library", "environment", "expected"), [
    ("libc.so.6", {}, "glibc"), ("libc-2.31.so", {}, "glibc"), ("", {}, None),
    ("ld-musl-x86_64.so.1", {}, None),
    ("libc.musl-x86_64.so.1", {}, None),
    ("libjemalloc.so.2", {}, "jemalloc"), ("libtcmalloc_minimal.so.4", {}, "tcmalloc"),
    ("libmimalloc.so.2", {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0"}, "mimalloc"),
    ("libc.so.6", {"GLIBC_TUNABLES": "glibc.rtld.nns=4:glibc.malloc.mmap_max=0"}, "glibc_tuned"),
    ("libc.so.6", {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}, "glibc"),
    ("libc.so.6", {"MALLOC_TRIM_THRESHOLD_": "1000000000"}, "glibc_tuned"),
])  # fmt: skip
def test_the_name_of_the_library_says_whose_it_is(
    library: str, environment: dict[str, str], expected: str | None
) -> None:
    assert named(library, environment) == expected


def test_the_library_is_the_one_that_holds_the_address() -> None:
    assert library_at(0x7F0000000FFF, MAPS) == "libjemalloc.so.2"
    assert library_at(0x7F0000001000, MAPS) == "libc.so.6"
    assert library_at(0x7F0000002000, MAPS) == library_at(0, MAPS) == ""


@pytest.mark.skipif(not LIBC.startswith("glibc"), reason="of glibc's own")
def test_a_process_is_asked_for_its_own() -> None:
    code = "from traceanalyzer.collect.allocator import allocator; print(allocator())"
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env=paths | variables, capture_output=True, text=True, check=True
        ).stdout.strip()
        for variables in ({}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0"})
    ]
    assert told == ["glibc", "glibc_tuned"]
