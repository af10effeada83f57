"""Notices about the roofs as a whole: nothing comes near them; fp64 where the device is slow in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from traceanalyzer.assembly.totals import share
from traceanalyzer.records import Device, Notice, OpRow
from traceanalyzer.records.units import canonical_dtype, duration, percent, si
from traceanalyzer.roofline.far_below import far_below

_FP64_CUT = 1 / 16  # of the fp32 rate: full-rate parts have 1/2, the others 1/32 or 1/64
_FP64_OF_BUSY = 0.01


def roof_notices(
    rows: Sequence[OpRow], device: Device, busy_ns: int, launch_floor_ns: int, read: Sequence[Notice]
) -> tuple[Notice, ...]:
    """In the order in which they matter. `read`: what was said of the recording before."""
    is_loaded = any(notice.code == "shorter_under_profiler" for notice in read)
    return (
        *_far_below_roofs(rows, device, busy_ns, launch_floor_ns, is_loaded),
        *_slow_fp64(rows, device, busy_ns),
    )


def _far_below_roofs(
    rows: Sequence[OpRow], device: Device, busy_ns: int, launch_floor_ns: int, is_loaded: bool
) -> Iterator[Notice]:
    slow = far_below(rows, busy_ns, launch_floor_ns)
    if slow is None:
        return
    most = max(slow.large, key=lambda row: (row.attributed_ns, row.name))
    text = (
        f"what a roof could limit gets to {percent(slow.reached)} of it on average, weighted by time "
        f"({_work(most)}): the kernels are bad ones, or the {device.kind.upper()} is throttled, shared, "
        f"paging or not the one named here. {_LOADED if is_loaded else ''}{_TESTS[device.kind]}"
    )
    yield Notice("far_below_roofs", text, len(slow.large))


def _attributed(rows: Iterable[OpRow]) -> int:
    return sum(row.attributed_ns for row in rows)


_LOADED = (
    "A step was shorter under the profiler than without it, which is a sign of other work on the machine. "
)
_TESTS = {
    "gpu": "To tell: time one large matmul alone on this machine; watch clocks, power and other processes "
    "(nvidia-smi, rocm-smi) while the step runs; run the slowest operator in another type or memory layout",
    "cpu": "To tell: run with half the threads (OMP_NUM_THREADS), since threads that wait for a core take "
    "longer than fewer that have one; look at the load and at memory in use; run `traceanalyze calibrate`",
}


def _work(row: OpRow) -> str:
    done = si(row.flops or 0, "FLOP") if row.bound == "compute" else _moved(row)
    return f"most time: {row.name}, {done} in {duration(row.time_ns)}"


def _moved(row: OpRow) -> str:
    return si((row.read_bytes or 0) + (row.write_bytes or 0), "B")


def _slow_fp64(rows: Sequence[OpRow], device: Device, busy_ns: int) -> Iterator[Notice]:
    """Where arithmetic is fp64 and the device has a small part of its fp32 rate for it.

    Not where bytes take longer than FLOPs do: a copy or a large addition misses no arithmetic.
    """
    single, double = device.peak("vector", "fp32"), device.peak("vector", "fp64")
    if not single or not double or double > _FP64_CUT * single:
        return
    doubles = [row for row in rows if row.flops and row.bound == "compute" and _has_fp64_tensor(row)]
    time_ns = _attributed(doubles)
    if time_ns < _FP64_OF_BUSY * busy_ns or not time_ns:
        return
    most = max(doubles, key=lambda row: (row.attributed_ns, row.name))
    where = f" in {most.module}" if most.module else f" ({most.phase})" if most.phase else ""
    text = (
        f"{percent(share(time_ns, busy_ns))} of busy time is arithmetic on fp64 tensors, for which "
        f"{device.name} has 1/{round(single / double)} of its fp32 rate; most of it {most.name}{where}. A "
        "Python float or NumPy array that became a tensor is the usual cause: cast it to fp32"
    )
    yield Notice("slow_fp64", text, len(doubles))


def _has_fp64_tensor(row: OpRow) -> bool:
    """With dimensions: a Python number beside a tensor is recorded as fp64 as well, and computes nothing."""
    inputs = zip(row.input_dims or (), row.input_types or (), strict=False)
    return any(dims and canonical_dtype(recorded) == "fp64" for dims, recorded in inputs)
