"""What the collector knew of a recording, and measured beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from traceanalyzer.records.calls import CpuFunction
from traceanalyzer.records.device import Peak


class FunctionRate(msgspec.Struct, frozen=True):
    """How many elements of a type a CPU evaluates a function on in a second."""

    function: CpuFunction
    precision: str
    per_s: float


class CpuRoofs(msgspec.Struct, frozen=True, kw_only=True):
    """Measured roofs of the recording machine's CPU."""

    name: str
    bandwidth_bytes_per_s: float
    peaks: tuple[Peak, ...]
    launch_floor_ns: int | None = None
    threads: int | None = None
    rates: tuple[FunctionRate, ...] = ()
    write_allocate: bool | None = None  # lines are read before they are overwritten; None: not measured
    cache_bytes: int | None = None  # all last-level caches together; None: not known
    load: float | None = None  # others that ran when they were measured, where they were many
    kept_from: str | None = None  # the day of an earlier measurement; None: measured right after the run
    file: str | None = None  # name of the device file that they were taken from, as the user gave it


class GpuClocks(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver says of one GPU and the profiler's trace does not; None where it does not either."""

    index: int
    name: str
    multiprocessors: int | None = None
    clock_hz: float | None = None  # the highest
    memory_clock_hz: float | None = None
    memory_bus_bits: int | None = None
    l2_bytes: int | None = None


MODULE_ANNOTATION = "nn.Module: "
"""Prefix of the collector's annotation of a module call; the module's dotted name follows."""


Allocator = Literal["glibc", "glibc_tuned", "jemalloc", "tcmalloc", "mimalloc"]
"""Whose `malloc` the script used; tuned: by a variable that makes it keep what is freed."""


class RecordedStep(msgspec.Struct, frozen=True, kw_only=True):
    """One captured step, and the median of those without the profiler whose forward passes are as large."""

    name: str
    profiled_ns: int
    unprofiled_ns: int | None = None  # None: there are none
    minor_faults: int | None = None
    system_ns: int | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What the collector recorded beside the profiler's trace; None where unknown."""

    torch: str | None = None
    python: str | None = None
    command: str | None = None
    script: str | None = None
    cuda: str | None = None
    tf32: bool | None = None
    wait: int | None = None
    warmup: int | None = None
    active: int | None = None
    complete: bool | None = None
    unprofiled_step_ns: int | None = None
    profiled_step_ns: int | None = None
    # Of the typical step, all threads together: pages mapped when first touched, time inside the system.
    minor_faults_per_step: int | None = None
    system_ns_per_step: int | None = None
    profiled_page_faults: int | None = None
    profiled_system_ns: int | None = None
    steps: tuple[RecordedStep, ...] | None = None
    threads: int | None = None  # of operators on the CPU, when the script ended
    page_bytes: int | None = None
    allocator: Allocator | None = None
    peak_memory_bytes: int | None = None
    cpu_roofs: CpuRoofs | None = None
    clocks: tuple[GpuClocks, ...] | None = None  # of the GPUs that the script could use

    def of_steps(self, names: Collection[str]) -> Recording:
        """The same, with what is known of steps of these names alone."""
        steps = [step for step in self.steps or () if step.name in names]
        return msgspec.structs.replace(
            self,
            unprofiled_step_ns=_median(step.unprofiled_ns for step in steps),
            profiled_step_ns=_median(step.profiled_ns for step in steps),
            minor_faults_per_step=_median(step.minor_faults for step in steps),
            system_ns_per_step=_median(step.system_ns for step in steps),
            profiled_system_ns=None,  # of captured steps of all kinds
        )

    @property
    def more_system_ns(self) -> int | None:
        """By which a captured step was in the system longer than others; None where that is unknown."""
        if self.profiled_system_ns is None or self.system_ns_per_step is None:
            return None
        return max(0, self.profiled_system_ns - self.system_ns_per_step)


def _median(values: Iterable[int | None]) -> int | None:
    """None where none is known."""
    measured = sorted(value for value in values if value is not None)
    if not measured:
        return None
    half = len(measured) // 2  # not `statistics`: a file beside the script may have its name
    return round((measured[half] + measured[-half - 1]) / 2)
