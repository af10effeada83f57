"""Hardware counters in place of times: which launch each range of the CUPTI range profiler belongs to.

Kineto gives such a row the kernel's name and its counters; its time is a slice of the recording, for the
profiler runs each kernel by itself, several times over (kineto/libkineto/src/CuptiRangeProfiler.cpp). Ranges
stand in the order of the launches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import Bools, Launches, RecordKind, passes
from traceanalyzer.trace.reading.raw import RawKernels

_LAUNCHES_A_KERNEL = re.compile(r"(?:cuda|cu)Launch(?:Cooperative)?Kernel")


def placed(
    names: Sequence[str], kernels: RawKernels, launches: Launches
) -> tuple[RawKernels, tuple[Notice, ...]]:
    """Ranges of counters linked to their launches, all at one moment: no time is known of any.

    Beside kernels that have times ranges are left out, beside nothing but copies the copies are.
    """
    counted = kernels.counted_bytes != -1
    timed = ~counted & (kernels.kind == RecordKind.KERNEL)
    if not counted.any():
        return kernels, ()
    if timed.any():
        return _only(kernels, ~counted), (_left_out(int(counted.sum()), int(timed.sum())),)
    copies = int(np.count_nonzero(~counted))
    kernels = _only(kernels, counted)
    calls = np.flatnonzero(passes(names, launches.name, _LAUNCHES_A_KERNEL.match))
    calls = calls[np.argsort(launches.start_ns[calls], kind="stable")]
    order = np.argsort(kernels.start_ns, kind="stable")
    correlation = np.full(len(order), -1, np.int64)
    matched = len(calls) == len(order) and len(np.unique(kernels.device)) == 1
    if matched:
        correlation[order] = launches.correlation[calls]
    moment = np.full(len(order), max(kernels.start_ns.max(), launches.end_ns.max(initial=0)))
    placed = replace(kernels, start_ns=moment, end_ns=moment, correlation=correlation)
    return placed, (_without_times(len(order), len(calls), copies, matched=matched),)


def _only(kernels: RawKernels, chosen: Bools) -> RawKernels:
    return RawKernels(**{name: getattr(kernels, name)[chosen] for name in RawKernels.__struct_fields__})


def _left_out(ranges: int, kernels: int) -> Notice:
    return Notice(
        "counters_left_out",
        f"{ranges} ranges of hardware counters stand beside {kernels} kernels with times; no profiler "
        "records both at once, so the times are shown and the counters left out",
        ranges,
    )


def _without_times(ranges: int, calls: int, copies: int, *, matched: bool) -> Notice:
    lost = "" if matched else f"; whose operators they are is not known: {calls} launches were recorded"
    beside = f" {copies} copies with times are left out." if copies else ""
    return Notice(
        "counters_without_times",
        f"{ranges} kernels have hardware counters and no times: the profiler runs each by itself, "
        f"several times{lost}.{beside} Times need a recording of their own, without counters.",
        ranges,
    )
