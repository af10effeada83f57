"""Bytes that memory moves while a program runs, counted by this machine's hardware.

Linux, `perf_event_open`. Where they may be read, the counters of the memory controllers: all transfers of the
machine, so that it should do nothing else. Else misses of the last-level cache of this process, 64 B each: a
lower bound, for what is prefetched or written back misses nothing.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from traceanalyzer.verify.replay import Replay

DEVICES = Path("/sys/bus/event_source/devices")
_LINE_BYTES = 64
_HARDWARE, _CACHE_MISSES = 0, 3  # PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES: linux/perf_event.h
_SYSCALL = {"x86_64": 298, "aarch64": 241}  # perf_event_open
_EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 5, 1 << 6
_TIMES = 1 | 2  # PERF_FORMAT_TOTAL_TIME_ENABLED, _RUNNING
_UNITS = {"MiB": 2**20, "KiB": 2**10, "bytes": 1, "Bytes": 1, "": 1}
# Events of memory controllers that transfer lines, as the kernel names them in `events/`: server parts by
# Intel, then client parts. AMD's have no names there: UMC event 0x0a, reads 1 and writes 2 in `rdwrmask`.
_READS_AND_WRITES = ("cas_count_read", "cas_count_write", "data_reads", "data_writes")
_AMD_TRANSFERS = ("event=0x0a,rdwrmask=1", "event=0x0a,rdwrmask=2")
_TURNS = 7

Opened = Callable[["Event"], int]


class Event(msgspec.Struct, frozen=True):
    """One counter."""

    type: int
    config: int
    bytes_each: float  # of one count
    cpu: int  # on which it counts; -1: on any
    thread: int  # that it follows; -1: all


class MemoryCounter(msgspec.Struct, frozen=True):
    """Counters that together count what memory moves, and how much they see of it."""

    events: tuple[Event, ...]
    how: str
    lower_bound: bool

    @contextmanager
    def reading(self, opened: Opened) -> Iterator[Callable[[], float]]:
        """A function that gives the bytes counted since the start. OSError where one cannot be opened."""
        with ExitStack() as stack:
            counters = []
            for event in self.events:
                descriptor = opened(event)
                stack.callback(os.close, descriptor)
                counters.append((descriptor, event.bytes_each))
            yield lambda: sum(_count(descriptor) * each for descriptor, each in counters)


def memory_counters(devices: Path = DEVICES) -> Iterator[MemoryCounter]:
    """What may count here, the more exact first; whether it may be opened shows when it is."""
    controllers = _controllers(devices)
    if controllers:
        yield MemoryCounter(controllers, "memory controllers, the whole machine", False)
    if (devices / "cpu").exists() or list(devices.glob("armv8_*")):
        threads = [int(thread.name) for thread in Path("/proc/self/task").glob("*")]
        events = tuple(Event(_HARDWARE, _CACHE_MISSES, _LINE_BYTES, -1, thread) for thread in threads)
        yield MemoryCounter(events, "last-level misses x 64 B", True)


def opened_by_system(event: Event) -> int:
    """A file descriptor of a counter that runs. OSError where the system refuses."""
    number = _SYSCALL.get(platform.machine())
    if sys.platform != "linux" or number is None:
        raise OSError(f"no performance counters on {sys.platform} {platform.machine()}")
    flags = _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR if event.cpu < 0 else 0
    # struct perf_event_attr up to PERF_ATTR_SIZE_VER0: type, size, config, period, sample type, read format,
    # flags, wakeup, breakpoint type, config1.
    attributes = struct.pack("=IIQQQQQIIQ", event.type, 64, event.config, 0, 0, _TIMES, flags, 0, 0, 0)
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    descriptor = int(syscall(number, attributes, event.thread, event.cpu, -1, 0))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return descriptor


def bytes_moved(program: Replay, counter: MemoryCounter, opened: Opened = opened_by_system) -> float:
    """Bytes per run: the median of several, after one that warms up."""
    import torch

    moved = []
    with torch.no_grad(), counter.reading(opened) as read:
        program.run(*program.inputs)
        for _ in range(_TURNS):
            before = read()
            program.run(*program.inputs)
            moved.append(read() - before)
    return median(moved)


def _count(descriptor: int) -> float:
    """Counts so far, scaled where the counter ran only part of the time."""
    value, enabled, running = struct.unpack("=QQQ", os.read(descriptor, 24))
    if enabled and not running:
        raise OSError("it was never scheduled: others use this processor's counters")
    return float(value) * enabled / running if running else 0.0


def _controllers(devices: Path) -> tuple[Event, ...]:
    """Those of all memory controllers; none where one of them is not understood, for a part is no sum."""
    try:
        return tuple(event for device in sorted(devices.glob("*")) for event in _of_controller(device))
    except (OSError, ValueError, KeyError):
        return ()


def _of_controller(device: Path) -> Iterator[Event]:
    """The transfers that one memory controller counts; none where the device is something else."""
    if device.name.startswith("uncore_imc") and "free_running" not in device.name:
        named = [device / "events" / name for name in _READS_AND_WRITES]
        terms = [(_text(path), _bytes_each(path)) for path in named if path.exists()]
    elif device.name.startswith("amd_umc"):
        terms = [(text, float(_LINE_BYTES)) for text in _AMD_TRANSFERS]
    else:
        return
    cpus = _numbers(_text(device / "cpumask")) or [0]
    for text, bytes_each in terms:
        config = _config(device / "format", text)
        for cpu in cpus:
            yield Event(int(_text(device / "type")), config, bytes_each, cpu, -1)


def _numbers(text: str) -> list[int]:
    """`0,18` or `0-3`."""
    parts = (part.partition("-") for part in text.split(",") if part)
    return [cpu for first, _, last in parts for cpu in range(int(first), int(last or first) + 1)]


def _bytes_each(event: Path) -> float:
    """By the files `.scale` and `.unit` beside an event; a line where there are none."""
    scale, unit = (event.with_name(event.name + suffix) for suffix in (".scale", ".unit"))
    return float(_text(scale)) * _UNITS[_text(unit)] if scale.exists() else float(_LINE_BYTES)


def _config(layout: Path, terms: str) -> int:
    """`event=0x04,umask=0x03` by the bits that the folder `format` gives each: `config:8-15`."""
    config = 0
    for term in terms.split(","):
        name, _, value = term.partition("=")
        low = re.fullmatch(r"config:(\d+)(?:-\d+)?", _text(layout / name).split(",")[0])
        if low is None:
            raise ValueError(f"{layout / name}: not understood")
        config |= int(value or "1", 0) << int(low[1])
    return config


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
