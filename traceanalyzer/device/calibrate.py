"""Roofs of this machine, measured with PyTorch: bandwidth (byte/s), matmul peaks (FLOP/s), launch floor (ns).

A roof is the best rate seen, not the usual one; every tensor counts as read once and written once, as in
the analysis. Takes under five seconds on two cores and leaves PyTorch's random numbers and thread
count as they were. `python -m traceanalyzer.device.calibrate` prints the CPU's roofs as one line of JSON.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from traceanalyzer.device.calibrate_cases import DTYPES, Case, Once, Rate, on_cpu, rates, turn
from traceanalyzer.device.calibrate_rates import function_rates, write_allocate
from traceanalyzer.device.table import DeviceSpec
from traceanalyzer.machine import cache_bytes as cache_bytes
from traceanalyzer.machine import processor as processor
from traceanalyzer.records import CpuRoofs, Peak
from traceanalyzer.records.errors import UsageError

_DEFAULT_CACHE_BYTES = 32 * 2**20  # where the size of the last-level cache is unknown
_MIN_ARRAY_BYTES, _MAX_POOL_BYTES = 64 * 2**20, 2**30
_ARRAYS = 3  # of the triad, the kernel with the most
_ALIGNMENT = 4096  # elements
_STREAM_S = 1.2
_WIDTHS = (256, 512, 1024, 2048)  # of square matrices that fit into caches and that do not
_MATMUL_S = {"fp32": 0.9, "bf16": 0.5, "fp64": 0.5, "fp16": 0.4}
_NARROW = {"bf16", "fp16"}  # a CPU's element-wise code computes these in fp32
_ADDS = 300
_QUIET_LOAD = 0.5  # others per processor that do not distort the measurement
_LOOKS, _BETWEEN_LOOKS_S = 5, 0.02


class Calibration(msgspec.Struct, frozen=True):
    """Everything measured of one device; `spec` is what a device file says of it."""

    spec: DeviceSpec
    streams: tuple[Rate, ...]  # fastest first
    matmuls: tuple[tuple[Peak, str], ...]  # with the matmul that reached it
    threads: int | None = None  # of a CPU
    busy: float | None = None  # how many others were running meanwhile, where they were many

    def cpu_roofs(self) -> CpuRoofs:
        """As `recording.cpu_roofs` has it."""
        spec = self.spec
        return CpuRoofs(
            name=spec.names[0], bandwidth_bytes_per_s=self.streams[0].per_s, peaks=spec.peaks,
            launch_floor_ns=spec.launch_floor_ns, threads=self.threads, rates=spec.rates,
            write_allocate=spec.write_allocate, cache_bytes=spec.cache_bytes, load=self.busy,
        )  # fmt: skip


def cpu_roofs(threads: int | None = None) -> CpuRoofs:
    """The CPU's roofs with so many threads, by default PyTorch's own number; UsageError without PyTorch."""
    return measure_cpu(threads).cpu_roofs()


def measure_cpu(threads: int | None = None) -> Calibration:
    """The CPU's roofs and what they were measured with.

    Matmuls and element-wise code run on the same multiply-add units of most CPUs, and no chain of eager
    element-wise ops can show their rate: each reads and writes memory. So the best fp32 and fp64 matmul
    rates stand for the vector engine as well, as a lower bound. Where a CPU has a separate matrix unit
    for these (Apple's, Arm's SME), that is too much for the vector engine.
    """
    torch = imported_torch()
    name, busy = processor(), _busy()
    with _threads(torch, threads) as count:
        fastest = streams(torch, "cpu", _pool_bytes(), on_cpu, _STREAM_S)
        matmuls = tuple(_cpu_matmuls(torch))
        floor = launch_floor_ns(torch)
        functions = function_rates(torch, on_cpu)
    vector = [Peak("vector", p.precision, p.flop_per_s) for p, _ in matmuls if p.precision not in _NARROW]
    spec = DeviceSpec(
        id=slug(name), kind="cpu", names=(name,), bandwidth_bytes_per_s=fastest[0].per_s,
        peaks=(*vector, *(p for p, _ in matmuls)), launch_floor_ns=floor, confidence="measured",
        rates=functions, write_allocate=write_allocate(fastest), cache_bytes=cache_bytes(),
        source=f"measured with torch {torch.__version__} and {count} threads on {name}: memory by "
        f"{fastest[0].what}, matmuls of square matrices and a convolution",
        note="Vector peaks are those of the matmuls: the same units of a CPU do both."
        + (f" Measured while others kept the machine busy (load {busy:.1f})." if busy else ""),
        calibrated=True, threads=count,
    )  # fmt: skip
    return Calibration(spec, fastest, matmuls, count, busy)


def imported_torch() -> Any:
    """The module `torch`; UsageError where there is none."""
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            f"calibrate: measures with PyTorch, which cannot be imported ({error})",
            fix="pip install 'torch-traceanalyzer[profile]'",
        ) from None
    return torch


def slug(name: str) -> str:
    """A device's name as an id and a file name: `AMD EPYC 9554 64-Core` -> `amd-epyc-9554-64-core`."""
    text = name.lower().replace("(r)", "").replace("(tm)", "")
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "device"


def _pool_bytes() -> int:
    """Of all arrays together: each four times the caches where memory allows, so that they hold little.

    Less than four times the caches in all would measure the caches. UsageError where that is not free.
    """
    caches = cache_bytes() or _DEFAULT_CACHE_BYTES
    wanted = _ARRAYS * max(_MIN_ARRAY_BYTES, 4 * caches)
    free = available_bytes()
    size = min(wanted, _MAX_POOL_BYTES if free is None else max(_MAX_POOL_BYTES, free // 8),
               wanted if free is None else free // 2)  # fmt: skip
    if size < 4 * caches:
        raise UsageError(
            f"{(free or 0) / 1e6:.0f} MB of memory are free: too little to measure beyond caches of "
            f"{caches / 1e6:.0f} MB",
            fix="free some memory, or give the roofs with --bandwidth and --peak",
        )
    return size


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be had without swapping, within the limit of the control group; None: unknown."""
    candidates = [_meminfo(root / "proc/meminfo")]
    for limit, used in _CGROUP_FILES:
        try:
            most = (root / limit).read_text().strip()
            if most.isdecimal():
                candidates.append(int(most) - int((root / used).read_text()))
        except (OSError, ValueError):
            continue
    limits = [size for size in candidates if size is not None]
    return max(min(limits), 0) if limits else None


def _meminfo(file: Path) -> int | None:
    try:
        for line in file.read_text().splitlines():
            if line.startswith("MemAvailable:"):  # free, and what the page cache would give back
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


# Of version 2 and of version 1: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst.
_CGROUP_FILES = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def _busy(loadavg: Path = Path("/proc/loadavg")) -> float | None:
    """How many others want a processor all the while, where that may distort; None: few, or unknown.

    Not the load average of the last minute, which counts the script whose run is just being recorded.
    """
    running = []
    for _ in range(_LOOKS):
        try:
            running.append(int(loadavg.read_text().split()[3].partition("/")[0]) - 1)  # besides this one
        except (OSError, ValueError, IndexError):
            return None
        time.sleep(_BETWEEN_LOOKS_S)
    return float(min(running)) if min(running) > _QUIET_LOAD * (os.cpu_count() or 1) else None


def streams(torch: Any, device: str, size: int, once: Once, seconds: float) -> tuple[Rate, ...]:
    """Bytes a second of streams through `size` bytes, divided into one, two or three arrays.

    Most CPUs read what an op is about to overwrite, unless it was read anyway: such traffic is not counted,
    so copy, add and triad show lower rates there than in-place operations.
    """
    elements = max(size // 4 // (6 * _ALIGNMENT), 1) * 6 * _ALIGNMENT
    pool = torch.ones(elements, device=device)
    (p, q), (a, b, c) = pool.chunk(2), pool.chunk(3)
    half, third, whole = 4 * len(p), 4 * len(a), 4 * elements
    return rates(
        (
            Case("scale in place", 2 * whole, lambda: pool.mul_(1.0)),
            Case("sum", whole, lambda: pool.sum()),
            Case("copy", 2 * half, lambda: p.copy_(q)),
            Case("add in place", 3 * half, lambda: p.add_(q, alpha=1e-3)),
            Case("add", 3 * third, lambda: torch.add(b, c, out=a)),
            Case("triad", 3 * third, lambda: torch.add(b, c, alpha=1e-3, out=a)),
        ),
        once, seconds,
    )  # fmt: skip


def square(torch: Any, precision: str, width: int, device: str) -> Case:
    """A matmul of two square random matrices, from a generator of its own."""
    noise = torch.Generator(device).manual_seed(0)
    dtype = getattr(torch, DTYPES[precision])
    a, b = (torch.rand(width, width, generator=noise, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return Case(f"{width} x {width}", 2.0 * width**3, lambda: torch.mm(a, b, out=out))


def fastest_matmul(cases: Iterator[Case], once: Once, seconds: float) -> Rate:
    """The best of the matmuls, small ones first; without those that would exceed the time limit."""
    end = time.perf_counter() + seconds
    tried: list[Case] = []
    best = 0.0
    for case in cases:
        if tried and 2 * case.amount / best > end - time.perf_counter():
            continue
        once(case.run)  # loads or compiles
        best = max(best, case.amount / turn(case, once))
        tried.append(case)
    return rates(tried, once, end - time.perf_counter())[0]


def _cpu_matmuls(torch: Any) -> Iterator[tuple[Peak, str]]:
    for precision, seconds in _MATMUL_S.items():
        try:
            fastest = fastest_matmul(_cpu_cases(torch, precision), on_cpu, seconds)
        except RuntimeError:  # this build does not multiply in this precision
            continue
        yield Peak("matrix", precision, fastest.per_s), fastest.what


def _cpu_cases(torch: Any, precision: str) -> Iterator[Case]:
    yield from (square(torch, precision, width, "cpu") for width in _WIDTHS)
    if precision == "fp32":
        noise = torch.Generator("cpu").manual_seed(0)
        images = torch.rand(4, 128, 56, 56, generator=noise)
        weights = torch.rand(128, 128, 3, 3, generator=noise)
        work = 2.0 * 128 * 9 * images.numel()
        yield Case("a 3 x 3 convolution", work, lambda: torch.conv2d(images, weights, padding=1))


def launch_floor_ns(torch: Any, device: str = "cpu") -> int | None:
    """Median ns of a one-element addition under the profiler: the op's self time, on a GPU its kernel's."""
    element = torch.ones(1, device=device)
    activity = torch.profiler.ProfilerActivity
    kinds = [activity.CPU] if device == "cpu" else [activity.CPU, getattr(activity, device.upper())]
    with torch.profiler.profile(activities=kinds, record_shapes=True) as profiler:
        for _ in range(_ADDS):
            element + element
        if device != "cpu":
            getattr(torch, device).synchronize()
    events = profiler.events() or []
    if device == "cpu":
        taken_us = [e.self_cpu_time_total for e in events if e.name == "aten::add"]
    else:
        taken_us = [e.time_range.elapsed_us() for e in events if e.device_type.name != "CPU"]
    return round(median(taken_us) * 1000) or None if taken_us else None


@contextmanager
def _threads(torch: Any, wanted: int | None) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        with torch.no_grad():
            yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def main() -> None:
    """One line of JSON on stdout: `CpuRoofs`, for a process that does not want to measure in itself."""
    options = argparse.ArgumentParser(description="Measure the CPU's roofs and print them as JSON.")
    options.add_argument("--threads", type=int, default=None)
    chosen = options.parse_args()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its log lines on stderr say nothing about the roofs
    roofs = cpu_roofs(chosen.threads)
    sys.stdout.write(msgspec.json.encode(roofs).decode() + "\n")


if __name__ == "__main__":
    main()
