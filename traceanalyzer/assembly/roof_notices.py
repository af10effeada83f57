"""Notices about the roofs as a whole: nothing comes near them; fp64 where the device is slow in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traceanalyzer.assembly.totals import share
from traceanalyzer.records import Device, Notice, OpRow
from traceanalyzer.records.units import canonical_dtype, duration, percent, si

_FAR_BELOW = 0.1  # of their roofs, that large kernels reach on average
_ENOUGH_OF_BUSY = 0.05  # of busy time in such kernels: an average over less says nothing
_FP64_CUT = 1 / 16  # of the fp32 rate: full-rate parts have 1/2, the others 1/32 or 1/64
_FP64_OF_BUSY = 0.01


def roof_notices(
    rows: Sequence[OpRow], device: Device, busy_ns: int, launch_floor_ns: int
) -> tuple[Notice, ...]:
    """In the order in which they matter."""
    large = [row for row in rows if _is_large(row, launch_floor_ns)]
    return (*_far_below_roofs(large, device, busy_ns), *_slow_fp64(rows, device, busy_ns))


def _is_large(row: OpRow, launch_floor_ns: int) -> bool:
    """Whether its work alone would take longer than a launch, at the roof."""
    limited = row.verdict in ("compute_bound", "memory_bound") and row.efficiency is not None
    return limited and (row.roof_ns or 0.0) > launch_floor_ns * row.calls


def _far_below_roofs(large: Sequence[OpRow], device: Device, busy_ns: int) -> Iterator[Notice]:
    """Where all that is large enough to reach a roof stays at a few per cent of it."""
    time_ns = sum(row.attributed_ns for row in large)
    if time_ns < _ENOUGH_OF_BUSY * busy_ns or not time_ns:
        return
    reached = sum(row.attributed_ns * (row.efficiency or 0.0) for row in large) / time_ns
    if reached >= _FAR_BELOW:
        return
    most = max(large, key=lambda row: (row.attributed_ns, row.name))
    text = (
        f"kernels large enough to reach a roof get to {percent(reached)} of it on average, weighted by time "
        f"({_work(most)}): the kernels are bad ones, or the {device.kind.upper()} is throttled, shared, "
        f"paging or not the one named here. {_TESTS[device.kind]}"
    )
    yield Notice("far_below_roofs", text, len(large))


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
    """Where tensors are fp64 and the device has a small part of its fp32 rate for them."""
    single, double = device.peak("vector", "fp32"), device.peak("vector", "fp64")
    if not single or not double or double > _FP64_CUT * single:
        return
    doubles = [row for row in rows if _has_fp64_tensor(row)]
    time_ns = sum(row.attributed_ns for row in doubles)
    if time_ns < _FP64_OF_BUSY * busy_ns or not time_ns:
        return
    most = max(doubles, key=lambda row: (row.attributed_ns, row.name))
    where = f" in {most.module}" if most.module else f" ({most.phase})" if most.phase else ""
    text = (
        f"{percent(share(time_ns, busy_ns))} of busy time is on fp64 tensors, for which {device.name} has "
        f"1/{round(single / double)} of its fp32 rate; most of it {most.name}{where}. A Python float or "
        "NumPy array that became a tensor is the usual cause: cast it to fp32"
    )
    yield Notice("slow_fp64", text, len(doubles))


def _has_fp64_tensor(row: OpRow) -> bool:
    """With dimensions: a Python number beside a tensor is recorded as fp64 as well, and computes nothing."""
    inputs = zip(row.input_dims or (), row.input_types or (), strict=False)
    return any(dims and canonical_dtype(recorded) == "fp64" for dims, recorded in inputs)
