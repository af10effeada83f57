"""How much memory is in use after each of a device's memory rows, what is in use, and who allocated it."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.trace import Bools, Ids, Ints, Memory, Ops, Trace

_CPU = -1  # in Memory.device
NEVER = np.iinfo(np.int64).max  # when a tensor is freed whose free is not recorded


class Levels(msgspec.Struct, frozen=True, eq=False):
    """Memory rows of one device, and how much is in use after each."""

    rows: Memory
    bytes: Ints
    totals: bool  # as the allocator says


def levels_of(trace: Trace, index: int) -> Levels | None:
    """Of one GPU, or of the CPU where the trace is of that; None where no row of it was recorded."""
    memory = trace.memory
    if memory is None:
        return None
    mine = memory.device == (_CPU if trace.on_cpu else index)
    if not mine.any():
        return None
    rows = Memory(*(getattr(memory, name)[mine] for name in Memory.__struct_fields__))
    if (rows.allocated >= 0).all():
        return Levels(rows, rows.allocated, True)
    added = np.cumsum(rows.bytes)
    return Levels(rows, added - min(0, int(added.min())), False)


def peak_of(levels: Levels, first: int, last: int) -> tuple[int, int, int]:
    """(In use before row `first`, the most in use up to row `last`, the row that reaches it) of some rows.

    Where nothing of them is above what was there before, the row is the one before them.
    """
    before = _before(levels, first)
    highest = first + int(np.argmax(levels.bytes[first:last]))
    peak = int(levels.bytes[highest])
    return (before, peak, highest) if peak > before else (before, before, first - 1)


def _before(levels: Levels, first: int) -> int:
    """In use before row `first`."""
    if first:
        return int(levels.bytes[first - 1])
    return max(0, int(levels.bytes[0] - levels.rows.bytes[0]))


def live_rows(rows: Memory, row: int) -> tuple[Ids, Ints]:
    """Rows of what is in use after `row`, and when each is freed; what has no address is not known."""
    order = np.flatnonzero(rows.address >= 0)
    order = order[np.argsort(rows.address[order], kind="stable")]
    follower = np.append(order[1:], len(rows.time_ns))
    same = np.append(rows.address[order[1:]] == rows.address[order[:-1]], False)
    follower = np.where(same, follower, len(rows.time_ns))
    chosen = (rows.bytes[order] > 0) & (order <= row) & (follower > row)
    freed = np.append(rows.time_ns, NEVER)[follower[chosen]]
    return order[chosen].astype(np.int32), freed


def innermost_ops(ops: Ops, thread: Ids, time_ns: Ints) -> Ids:
    """The innermost operator that is open on the thread at the time; -1 where none is."""
    op = np.full(len(thread), -1, np.int32)
    for each in np.unique(thread).tolist():
        low, high = np.searchsorted(ops.thread, np.array((each, each + 1), np.int32)).tolist()
        mine = thread == each
        last = low - 1 + np.searchsorted(ops.start_ns[low:high], time_ns[mine], side="right")
        op[mine] = np.where(last >= low, last, -1)
    while True:
        left: Bools = op >= 0
        left[left] = ops.end_ns[op[left]] < time_ns[left]
        if not left.any():
            return op
        op[left] = ops.parent[op[left]]
