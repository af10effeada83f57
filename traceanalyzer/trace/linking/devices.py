"""The devices that a trace holds work of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from traceanalyzer.records.trace import Ints, Kernels, Trace


def devices_with_work(trace: Trace) -> dict[int, int]:
    """Device index -> ns in which at least one of its records runs. A CPU trace has device 0."""
    kernels, pieces = trace.kernels, trace.pieces
    if pieces is not None:
        return {0: _union_ns(pieces.start_ns, pieces.end_ns)}
    busy_ns = {}
    for index in np.unique(kernels.device).tolist():
        mine = kernels.device == index
        busy_ns[index] = _union_ns(kernels.start_ns[mine], kernels.end_ns[mine])
    return busy_ns


def of_device(trace: Trace, index: int) -> Trace:
    """The same trace with the records of one device only."""
    mine = trace.kernels.device == index
    if mine.all():
        return trace
    kernels = Kernels(*(getattr(trace.kernels, name)[mine] for name in Kernels.__dataclass_fields__))
    return replace(trace, kernels=kernels)


def _union_ns(start_ns: Ints, end_ns: Ints) -> int:
    """Length of the union of intervals; O(n log n)."""
    by_start = np.argsort(start_ns, kind="stable")
    start, end = start_ns[by_start], np.maximum.accumulate(end_ns[by_start])
    before = np.concatenate((start[:1], end[:-1]))
    return int(np.maximum(end - np.maximum(start, before), 0).sum())
