"""Launches made while a graph was captured: operators and kernel names, but no kernel ran."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records.trace import UNLINKED, Kernels, RecordKind, Trace
from traceanalyzer.trace.linking.link import ops_open_at


def at_capture(trace: Trace) -> Trace | None:
    """`trace` with these launches as its kernels, of no duration and in the order of each thread.

    Only AMD's runtime records the name of the kernel at its launch. None: there are no such launches.
    """
    launches, kernels = trace.launches, trace.kernels
    rows = np.flatnonzero((launches.kernel >= 0) & ~np.isin(launches.correlation, kernels.correlation))
    if not len(rows):
        return None
    start, thread, count = launches.start_ns[rows], launches.thread[rows], len(rows)
    op = ops_open_at(trace.ops, thread, start, 0)
    order = np.argsort(start, kind="stable")
    absent, unknown = np.full(count, -1, np.int32), np.full(count, -1, np.int64)
    unlinked = np.where(op[order] < 0, UNLINKED.index("no_op"), -1).astype(np.int8)
    return replace(trace, kernels=Kernels(
        start_ns=start[order], end_ns=start[order], name=launches.kernel[rows][order],
        kind=np.full(count, RecordKind.KERNEL, np.int8), device=np.zeros(count, np.int32),
        stream=thread[order].astype(np.int64), correlation=launches.correlation[rows][order],
        launch=rows[order].astype(np.int32), launch_ns=start[order], op=op[order], unlinked=unlinked,
        blocks=unknown, threads=absent, geometry=unknown, registers=absent, shared_bytes=unknown,
        copied_bytes=unknown, counted_bytes=unknown, collective=np.full(count, -1, np.int32),
        duration_ns=np.zeros(count, np.int64), file_row=absent,
    ))  # fmt: skip
