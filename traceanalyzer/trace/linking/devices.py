"""The devices that a trace holds work of."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records.trace import Bools, Ints, Kernels, Pieces, Trace, distinct


def working_devices(trace: Trace) -> list[int]:
    """The indexes of devices that have records; of a CPU trace 0."""
    indexes: list[int] = distinct(trace.kernels.device).tolist()
    return indexes


def devices_with_work(trace: Trace) -> dict[int, int]:
    """Device index -> ns in which at least one of its records runs. A CPU trace has device 0."""
    kernels, pieces = trace.kernels, trace.pieces
    start_ns, end_ns, device = kernels.start_ns, kernels.end_ns, kernels.device
    if pieces is not None:
        start_ns, end_ns, device = pieces.start_ns, pieces.end_ns, device[pieces.record]
    busy_ns = {}
    for index in working_devices(trace):
        mine = device == index
        busy_ns[index] = _union_ns(start_ns[mine], end_ns[mine])
    return busy_ns


def of_device(trace: Trace, index: int) -> Trace:
    """The same trace with the records of one device only."""
    mine = trace.kernels.device == index
    if mine.all():
        return trace
    kernels = Kernels(*(getattr(trace.kernels, name)[mine] for name in Kernels.__struct_fields__))
    return replace(trace, kernels=kernels, pieces=trace.pieces and _of_records(trace.pieces, mine))


def _of_records(pieces: Pieces, chosen: Bools) -> Pieces:
    number = (np.cumsum(chosen) - 1).astype(np.int32)
    mine = chosen[pieces.record]
    return Pieces(pieces.start_ns[mine], pieces.end_ns[mine], number[pieces.record[mine]])


def _union_ns(start_ns: Ints, end_ns: Ints) -> int:
    """Length of the union of intervals; O(n log n)."""
    by_start = np.argsort(start_ns, kind="stable")
    start, end = start_ns[by_start], np.maximum.accumulate(end_ns[by_start])
    before = np.concatenate((start[:1], end[:-1]))
    return int(np.maximum(end - np.maximum(start, before), 0).sum())
