"""CPU traces: the self time of each operator invocation as a record, in place of kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traceanalyzer.records.trace import UNLINKED, Ids, Ints, Kernels, OpKind, Ops, Pieces, RecordKind, above
from traceanalyzer.trace.linking.link import text_rank


def host_records(names: Sequence[str], ops: Ops, file_row: Ids) -> tuple[Kernels, Pieces]:
    """One HOST record for each operator invocation (annotations are none), and the pieces it is cut into.

    A piece is a stretch of the operator that no operator inside it on its thread covers; their sum is
    `duration_ns`, while `start_ns` and `end_ns` are the first start and the last end. An operator that
    is covered wholly has one piece of length 0 at its start. `file_row`: of each row of `ops`. O(n log n).
    """
    rows = np.flatnonzero(ops.kind != OpKind.ANNOTATION).astype(np.int32)
    start, end, owner = _pieces(ops, rows)
    count = len(rows)
    bounds = np.searchsorted(owner, np.arange(count + 1))
    first, last = start[bounds[:-1]], end[bounds[1:] - 1]
    duration = np.zeros(count, np.int64)
    np.add.at(duration, owner, end - start)
    by_order = np.lexsort((text_rank(names, ops.name[rows]), ops.thread[rows], last, first))
    position = np.empty(count, np.int32)
    position[by_order] = np.arange(count, dtype=np.int32)
    record = position[owner]
    by_record = np.lexsort((start, record))
    rows = rows[by_order]
    kernels = _kernels(ops, rows, first[by_order], last[by_order], duration[by_order], file_row[rows])
    return kernels, Pieces(start[by_record], end[by_record], record[by_record])


def _pieces(ops: Ops, rows: Ids) -> tuple[Ints, Ints, Ids]:
    """Start, end and owner (a place in `rows`) of every piece, by owner and start."""
    position = np.full(len(ops) + 1, -1, np.int32)
    position[rows] = np.arange(len(rows), dtype=np.int32)
    owner = position[above(ops.parent, ops.kind != OpKind.ANNOTATION)[rows]]
    inner = np.flatnonzero(owner >= 0)
    inner = inner[np.argsort(owner[inner], kind="stable")]  # rows go by start, so children do too
    # Each operator opens a stretch at its own start and at the end of each child; the stretch ends
    # where the next child starts, or with the operator. Children end in the order of their starts.
    every = np.arange(len(rows), dtype=np.int32)
    opener = np.concatenate((every, owner[inner]))
    opened = np.concatenate((ops.start_ns[rows], ops.end_ns[rows[inner]]))
    closer = np.concatenate((owner[inner], every))
    closed = np.concatenate((ops.start_ns[rows[inner]], ops.end_ns[rows]))
    by_open, by_close = np.argsort(opener, kind="stable"), np.argsort(closer, kind="stable")
    start, end, owner = opened[by_open], closed[by_close], opener[by_open]
    real = end > start
    empty = np.ones(len(rows), bool)
    empty[owner[real]] = False
    bare = every[empty]
    start = np.concatenate((start[real], ops.start_ns[rows[bare]]))
    end = np.concatenate((end[real], ops.start_ns[rows[bare]]))
    owner = np.concatenate((owner[real], bare))
    by_owner = np.argsort(owner, kind="stable")
    return start[by_owner], end[by_owner], owner[by_owner]


def _kernels(ops: Ops, rows: Ids, start: Ints, end: Ints, duration: Ints, file_row: Ids) -> Kernels:
    absent = np.full(len(rows), -1, np.int32)
    unknown = np.full(len(rows), -1, np.int64)
    compiled = ops.kind[rows] == OpKind.COMPILED
    unlinked = np.where(compiled, UNLINKED.index("compiled_region"), -1).astype(np.int8)
    return Kernels(
        start_ns=start, end_ns=end, name=ops.name[rows], kind=np.full(len(rows), RecordKind.HOST, np.int8),
        device=np.zeros(len(rows), np.int32), stream=ops.thread[rows].astype(np.int64), correlation=unknown,
        launch=absent, launch_ns=ops.start_ns[rows], op=rows, unlinked=unlinked, blocks=unknown,
        threads=absent, geometry=unknown, registers=absent, shared_bytes=unknown, copied_bytes=unknown,
        collective=np.full(len(rows), -1, np.int32), counted_bytes=unknown, duration_ns=duration,
        file_row=file_row,
    )  # fmt: skip
