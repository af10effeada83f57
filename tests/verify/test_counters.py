"""Counters of memory: where they are found, what a count is worth, and what is said where there are none."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fusion.scenes import found_by, op, scene
from traceanalyzer.cli.verify_lines import bytes_lines
from traceanalyzer.fusion.rules import rule_named
from traceanalyzer.verify.counters import (
    Event,
    MemoryCounter,
    bytes_moved,
    memory_counters,
)
from traceanalyzer.verify.moved import Moved, NotCounted, moved
from traceanalyzer.verify.replay import Replay
from traceanalyzer.verify.verify import Trial

CONTROLLERS = {
    "uncore_imc_0": {
        "type": "24", "cpumask": "0,18", "format/event": "config:0-7", "format/umask": "config:8-15",
        "events/cas_count_read": "event=0x04,umask=0x03", "events/cas_count_read.scale": "6.103515625e-5",
        "events/cas_count_read.unit": "MiB", "events/cas_count_write": "event=0x04,umask=0x0c",
        "events/cas_count_write.scale": "6.103515625e-5", "events/cas_count_write.unit": "MiB",
    },
    "uncore_imc": {
        "type": "12", "format/event": "config:0-7", "events/data_reads": "event=0x01",
        "events/data_writes": "event=0x02", "events/data_reads.scale": "6.103515625e-5",
        "events/data_reads.unit": "MiB", "events/data_writes.scale": "6.103515625e-5",
        "events/data_writes.unit": "MiB",
    },
    "amd_umc_3": {
        "type": "31", "cpumask": "0", "format/event": "config:0-7", "format/rdwrmask": "config:8-9",
    },
    "uncore_imc_free_running_0": {"type": "25", "events/read": "event=0xff,umask=0x20"},
    "power": {"type": "9", "events/energy-pkg": "event=0x02"},
}  # fmt: skip
EXPECTED = {
    "uncore_imc_0": {(24, 0x304, cpu) for cpu in (0, 18)} | {(24, 0xC04, cpu) for cpu in (0, 18)},
    "uncore_imc": {(12, 1, 0), (12, 2, 0)},
    "amd_umc_3": {(31, 0x10A, 0), (31, 0x20A, 0)},
    "uncore_imc_free_running_0": set(),
    "power": set(),
}


def shown_by(folder: Path, *devices: str) -> Path:
    for device in devices:
        for name, text in CONTROLLERS[device].items():
            path = folder / device / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
    return folder


@pytest.mark.parametrize("device", CONTROLLERS)
def test_a_controller_counts_reads_and_writes_of_64_bytes(device: str, tmp_path: Path) -> None:
    counters = list(memory_counters(shown_by(tmp_path, device)))
    events = {event for counter in counters for event in counter.events}
    assert {(event.type, event.config, event.cpu) for event in events} == EXPECTED[device]
    assert all(event.bytes_each == 64 and event.thread == -1 for event in events)
    assert not any(counter.lower_bound for counter in counters)


def test_misses_come_after_controllers_and_are_a_lower_bound(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    exact, misses = memory_counters(shown_by(tmp_path, *CONTROLLERS))
    assert len(exact.events) == 8 and not exact.lower_bound
    assert misses.lower_bound and {event.cpu for event in misses.events} == {-1}
    assert {event.thread for event in misses.events} >= {os.getpid()}, "each thread of this process"


@pytest.mark.parametrize(
    ("device", "file", "text"),
    [
        ("amd_umc_3", "format/rdwrmask", "config1:0-1"), ("uncore_imc_0", "events/cas_count_read.unit", "MB"),
        ("uncore_imc_0", "type", "?"), ("uncore_imc_0", "cpumask", "all"),
        ("uncore_imc_0", "events/cas_count_read", "event=?"),
    ],
)  # fmt: skip
def test_where_one_controller_is_not_understood_misses_count(
    device: str, file: str, text: str, tmp_path: Path
) -> None:
    """The other controllers alone would be a part of the traffic that passes for all of it."""
    shown_by(tmp_path, "uncore_imc_0", "amd_umc_3")
    (tmp_path / device / file).write_text(text + "\n")
    (tmp_path / "cpu").mkdir()
    (misses,) = memory_counters(tmp_path)
    assert misses.lower_bound


@pytest.mark.parametrize(("mask", "cpus"), [("0,18", {0, 18}), ("0-3", {0, 1, 2, 3}), ("0-1,8", {0, 1, 8})])
def test_every_cpu_of_the_mask_counts(mask: str, cpus: set[int], tmp_path: Path) -> None:
    shown_by(tmp_path, "uncore_imc_0")
    (tmp_path / "uncore_imc_0/cpumask").write_text(mask)
    (exact,) = memory_counters(tmp_path)
    assert {event.cpu for event in exact.events} == cpus


def test_a_counter_that_never_ran_has_counted_nothing() -> None:
    refused = moved(trial(), [CACHE], played(*GROWING, share=0.0))
    assert isinstance(refused, NotCounted) and "never scheduled" in refused.reason


def played(*counts: int, share: float = 1.0) -> Callable[[Event], int]:
    """A counter of which these counts are read one after the other, and that runs a share of the time."""

    def opened(event: Event) -> int:
        descriptor = os.memfd_create("counts")
        for number, count in enumerate(counts):
            enabled = 1000 * (number + 1)
            os.write(descriptor, struct.pack("=QQQ", round(count * share), enabled, round(enabled * share)))
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    return opened


CACHE = MemoryCounter((Event(0, 3, 64, -1, 0),), "last-level misses x 64 B", True)
NOTHING = Replay(lambda: None, ())
GROWING = [number * 1000 + (5000 if number == 7 else 0) for number in range(14)]  # one turn is disturbed


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_bytes_are_the_median_of_the_turns_scaled_by_how_long_the_counter_ran(share: float) -> None:
    assert bytes_moved(NOTHING, CACHE, played(*GROWING, share=share)) == 64_000


def test_a_counter_that_the_system_has_counts_what_was_done() -> None:
    """Page faults, which virtual machines count too: a new mapping has one a page that is touched."""
    pages = 2000

    def touch() -> None:
        with mmap.mmap(-1, pages * mmap.PAGESIZE) as fresh:
            for page in range(pages):
                fresh[page * mmap.PAGESIZE] = 1

    software, page_faults = 1, 2  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS
    counter = MemoryCounter((Event(software, page_faults, mmap.PAGESIZE, -1, 0),), "pages", True)
    try:
        counted = bytes_moved(Replay(touch, ()), counter)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOSYS):
            raise
        pytest.skip("no performance counters")
    assert pages * mmap.PAGESIZE <= counted <= 1.05 * pages * mmap.PAGESIZE


def trial() -> Trial:
    """x * y, then + 1, in single precision: 2^20 elements each."""
    graph = scene(op("mul", (1024, 1024), (1024, 1024)), op("add", (1024, 1024), ()), on_cpu=True, freed=True)
    rule = rule_named("pointwise_chain")
    assert rule is not None
    (match,) = found_by(graph, rule.name)
    return Trial(rule, match, NOTHING, NOTHING)


def test_counted_bytes_stand_beside_the_predicted_ones() -> None:
    counted = moved(trial(), [CACHE], played(*GROWING))
    assert isinstance(counted, Moved)
    mib = 4 * 2**20
    assert (counted.before, counted.after) == (64_000, 64_000)
    assert counted.predicted_before == (2 + 1) * mib + (1 + 1) * mib, "read and written"
    assert counted.read_first == 2 * mib, "both results"
    assert counted.predicted_after == 4 * mib, "nothing proves that the product is not needed"
    lines = list(bytes_lines(counted))
    assert lines == [
        "  moved       at least 64.0 kB before, at least 64.0 kB after",
        "              counted: last-level misses x 64 B",
        "              compulsory: 21.0 MB before, 16.8 MB after",
        "              29.4 MB before with the lines read before they are overwritten",
    ]
    assert max(map(len, lines)) <= 80


def test_the_next_counter_is_taken_where_the_first_is_refused() -> None:
    exact = MemoryCounter((Event(24, 1, 64, 0, -1),), "memory controllers, the whole machine", False)

    def opened(event: Event) -> int:
        if event.type == 24:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return played(*GROWING)(event)

    counted = moved(trial(), [exact, CACHE], opened)
    assert isinstance(counted, Moved) and counted.counter is CACHE
    refused = moved(trial(), [exact], opened)
    assert isinstance(refused, NotCounted)
    (line,) = bytes_lines(refused)
    assert line == "  moved       not counted: memory controllers, the whole machine: Permission …"
    assert len(line) <= 80


def test_where_nothing_counts_a_line_says_so(tmp_path: Path) -> None:
    refused = moved(trial(), memory_counters(tmp_path))
    assert isinstance(refused, NotCounted) and "no counters of memory" in refused.reason


def test_a_counter_is_closed_when_it_was_read() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    bytes_moved(NOTHING, CACHE, played(*GROWING))
    with pytest.raises(ZeroDivisionError):
        bytes_moved(Replay(lambda: 1 // 0, ()), CACHE, played(*GROWING))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
