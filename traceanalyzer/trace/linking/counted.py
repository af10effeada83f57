"""Hardware counters in place of times: which launch each range of the CUPTI range profiler belongs to.

Kineto gives such a row the kernel's name and its counters; its time is a slice of the recording, for the
profiler runs each kernel by itself, several times over (kineto/libkineto/src/CuptiRangeProfiler.cpp). Ranges
stand in the order of the launches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import Launches, passes
from traceanalyzer.trace.reading.raw import RawKernels

_LAUNCHES_A_KERNEL = re.compile(r"(?:cuda|cu)Launch(?:Cooperative)?Kernel")


def placed(
    names: Sequence[str], kernels: RawKernels, launches: Launches
) -> tuple[RawKernels, tuple[Notice, ...]]:
    """Ranges of counters at their launches, without a length; beside timed kernels they are left out."""
    counted = kernels.counted_bytes != -1
    if not counted.any():
        return kernels, ()
    if not counted.all():
        columns = {name: getattr(kernels, name)[~counted] for name in RawKernels.__dataclass_fields__}
        return RawKernels(**columns), ()
    calls = np.flatnonzero(passes(names, launches.name, _LAUNCHES_A_KERNEL.match))
    calls = calls[np.argsort(launches.start_ns[calls], kind="stable")]
    moment, correlation = kernels.start_ns, np.full(len(counted), -1, np.int64)
    order = np.argsort(kernels.start_ns, kind="stable")
    matched = len(calls) == len(order) and len(np.unique(kernels.device)) == 1
    if matched:
        moment, correlation = moment.copy(), correlation
        moment[order], correlation[order] = launches.end_ns[calls], launches.correlation[calls]
    return (
        replace(kernels, start_ns=moment, end_ns=moment, correlation=correlation),
        (_notice(len(order), len(calls), matched=matched),),
    )


def _notice(ranges: int, calls: int, *, matched: bool) -> Notice:
    lost = "" if matched else f"; which operator each belongs to is not known: {calls} launches were recorded"
    return Notice(
        "counters_without_times",
        f"{ranges} kernels have hardware counters and no times: the profiler runs each by itself, "
        f"several times{lost}. Times need a recording of their own, without counters.",
        ranges,
    )
