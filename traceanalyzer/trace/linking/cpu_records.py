"""CPU traces: the self time of each operator invocation as a record, in place of kernels."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from traceanalyzer.records.trace import (
    UNLINKED,
    Ids,
    Ints,
    Kernels,
    OpKind,
    Ops,
    Pieces,
    RecordKind,
    above,
    passes,
)
from traceanalyzer.trace.linking.link import text_rank
from traceanalyzer.trace.linking.own_time import own_times

_COLLECTIVE = re.compile(r"(?:gloo|mpi|ucc):\w")  # torch/csrc/distributed/c10d: ProfilingTitle


def host_records(names: Sequence[str], ops: Ops, file_row: Ids) -> tuple[Kernels, Pieces]:
    """One HOST record for each operator invocation, and the pieces it is cut into.

    Annotations are none, but for those of collectives: a backend writes one on the thread that does the work,
    while the operator that asked for it has returned. Operators inside a record on its thread are cut out:
    `duration_ns` is its own time, while `start_ns` and `end_ns` are the first start and the last end.
    `file_row`: of each row of `ops`. O(n log n).
    """
    works = (ops.kind != OpKind.ANNOTATION) | passes(names, ops.name, _COLLECTIVE.match)
    rows = np.flatnonzero(works).astype(np.int32)
    position = np.full(len(ops) + 1, -1, np.int32)
    position[rows] = np.arange(len(rows), dtype=np.int32)
    parent = position[above(ops.parent, works)[rows]]
    times = own_times(
        ops.start_ns[rows], ops.end_ns[rows], parent, ops.thread[rows], text_rank(names, ops.name[rows])
    )
    rows = rows[times.interval]
    return _kernels(ops, rows, times.start_ns, times.end_ns, times.duration_ns, file_row[rows]), times.pieces


def _kernels(ops: Ops, rows: Ids, start: Ints, end: Ints, duration: Ints, file_row: Ids) -> Kernels:
    absent = np.broadcast_to(np.int32(-1), len(rows))  # one number, whatever the length
    unknown = np.broadcast_to(np.int64(-1), len(rows))
    device = np.broadcast_to(np.int32(0), len(rows))
    host = np.broadcast_to(np.int8(RecordKind.HOST), len(rows))
    compiled = ops.kind[rows] == OpKind.COMPILED
    unlinked = np.where(compiled, UNLINKED.index("compiled_region"), -1).astype(np.int8)
    return Kernels(
        start_ns=start, end_ns=end, name=ops.name[rows], kind=host,
        device=device, stream=ops.thread[rows].astype(np.int64), correlation=unknown,
        launch=absent, launch_ns=ops.start_ns[rows], op=rows, unlinked=unlinked, blocks=unknown,
        threads=absent, geometry=unknown, registers=absent, shared_bytes=unknown, copied_bytes=unknown,
        collective=absent, counted_bytes=unknown, duration_ns=duration,
        file_row=file_row,
    )  # fmt: skip
