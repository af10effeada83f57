"""CPU traces: the self time of each operator invocation as a record, in place of kernels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records.stretches import stretches
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
from traceanalyzer.trace.linking.own_time import OwnTimes, own_times

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
    del works, position
    times = _together(_own_times(names, ops, rows, parent), len(rows), int(np.count_nonzero(parent >= 0)))
    rows = times.interval
    return _kernels(ops, rows, times.start_ns, times.end_ns, times.duration_ns, file_row[rows]), times.pieces


def _own_times(names: Sequence[str], ops: Ops, rows: Ids, parent: Ids) -> Iterator[OwnTimes]:
    """Of these rows, one stretch of time after the other; `interval` is a row of `ops`."""
    for inside, local_parent in _stretches(ops, rows, parent):
        here = rows[inside]
        times = own_times(
            ops.start_ns[here], ops.end_ns[here], local_parent, ops.thread[here],
            text_rank(names, ops.name[here]),
        )  # fmt: skip
        yield replace(times, interval=here[times.interval])


def _stretches(ops: Ops, rows: Ids, parent: Ids) -> Iterator[tuple[Ints, Ids]]:
    """Places in `rows` between two moments at which nothing runs, and that of each one's parent among them.

    `parent`: of each its place in `rows`. What lies within an outermost one follows it.
    """
    outer = np.flatnonzero(parent < 0)
    sizes = np.diff(outer, append=len(rows))
    by_start = np.argsort(ops.start_ns[rows[outer]], kind="stable")
    outer, sizes = outer[by_start], sizes[by_start]
    for part in stretches(ops.start_ns[rows[outer]], ops.end_ns[rows[outer]], sizes):
        first = np.argsort(outer[part])
        opens, size = outer[part][first], sizes[part][first]
        shift = np.repeat(opens - np.cumsum(size) + size, size)
        inside = shift + np.arange(len(shift))
        yield inside, np.where(parent[inside] < 0, -1, parent[inside] - shift).astype(np.int32)


def _together(parts: Iterable[OwnTimes], records: int, inner: int) -> OwnTimes:
    """One behind the other, laid out at once; `inner`: records that cut another one's time in two."""
    most = records + inner
    interval, record = np.empty(records, np.int32), np.empty(most, np.int32)
    start, end, duration = (np.empty(records, np.int64) for _ in range(3))
    opens, closes = (np.empty(most, np.int64) for _ in range(2))
    count = pieces = 0
    for part in parts:
        here, cut = (
            slice(count, count + len(part.interval)),
            slice(pieces, pieces + len(part.pieces.record)),
        )
        interval[here], duration[here] = part.interval, part.duration_ns
        start[here], end[here] = part.start_ns, part.end_ns
        opens[cut], closes[cut] = part.pieces.start_ns, part.pieces.end_ns
        record[cut] = part.pieces.record + np.int32(count)
        count, pieces = here.stop, cut.stop
    for column in (opens, closes, record):  # what was never written takes no memory
        column.resize(pieces, refcheck=False)
    return OwnTimes(interval, start, end, duration, Pieces(opens, closes, record))


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
