"""Producer-consumer edges proved by frees of tensors (tier T2).

An operator makes a tensor; the next one is given one of its shape and type; and what the first had
allocated is freed between the start of the second and the start of the third. Nobody else held it, so
the second was the one to read it, and neither the write nor the read is needed where both become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import msgspec
import numpy as np

from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.fusion.step_ops import StepOps
from traceanalyzer.records import Dims, OpCall
from traceanalyzer.records.call_facts import call_facts
from traceanalyzer.records.trace import Ids, Ints, Memory, OpKind, Trace
from traceanalyzer.records.units import ITEMSIZE

ROUNDING = 512  # bytes to which CUDA's allocator rounds up: c10/cuda/CUDACachingAllocator.cpp


class Lifetimes(msgspec.Struct, frozen=True, eq=False):
    """When each tensor was allocated and freed, ascending by its allocation."""

    allocated_ns: Ints
    freed_ns: Ints  # the end of time where it was not
    bytes: Ints


def proved(trace: Trace, working: StepOps, lifetimes: Lifetimes) -> list[tuple[int, int]]:
    """(producer, consumer) of neighbors among `working`, as places there.

    The last two prove nothing: with the step everything ends that nobody has read.
    """
    begin = trace.ops.start_ns[allocators(trace, working)].tolist()
    pairs = []
    for place in range(len(working.op) - 2):
        first, second = int(working.op[place]), int(working.op[place + 1])
        until = int(trace.ops.start_ns[working.op[place + 2]])
        if trace.ops.thread[first] != trace.ops.thread[second]:
            continue
        sizes = _freed_sizes(trace, lifetimes, begin[place], (first, second), until)
        if sizes and _takes(trace.calls[trace.ops.call[second]], sizes):
            pairs.append((place, place + 1))
    return pairs


def freed_in_step(trace: Trace, working: StepOps, lifetimes: Lifetimes, end_ns: int) -> frozenset[int]:
    """Places of operators that allocate something, and nothing that is not freed before `end_ns`."""
    begin = np.searchsorted(lifetimes.allocated_ns, trace.ops.start_ns[allocators(trace, working)])
    until = np.searchsorted(lifetimes.allocated_ns, trace.ops.end_ns[working.op])
    stay = np.concatenate([[0], np.cumsum(lifetimes.freed_ns >= end_ns)])
    gone = (until > begin) & (stay[until] == stay[begin])
    return frozenset(np.flatnonzero(gone).tolist())


def allocators(trace: Trace, working: StepOps) -> Ids:
    """Of each operator the row of the op in which it allocates: `clone` allocates what its `copy_` writes."""
    filling = np.append(call_facts(trace.calls).named(UNREAD.__contains__), False)
    parent = trace.ops.parent[working.op]
    within = filling[trace.ops.call[working.op]] & (parent >= 0) & (trace.ops.kind[parent] == OpKind.OP)
    return np.where(within, parent, working.op)


def lifetimes_of(memory: Memory) -> Lifetimes:
    """Of every tensor whose allocation was recorded, whether its free was or not."""
    order = np.lexsort((memory.time_ns, memory.address))
    order = order[memory.address[order] >= 0]  # what has no address cannot be followed
    address, time, size = memory.address[order], memory.time_ns[order], memory.bytes[order]
    allocations = np.flatnonzero(size > 0)
    behind = np.minimum(allocations + 1, len(order) - 1)
    ends = (address[behind] == address[allocations]) & (size[behind] < 0) & (behind > allocations)
    freed = np.where(ends, time[behind], np.iinfo(np.int64).max)
    by_time = np.argsort(time[allocations], kind="stable")
    return Lifetimes(time[allocations][by_time], freed[by_time], size[allocations][by_time])


def _freed_sizes(
    trace: Trace,
    lifetimes: Lifetimes,
    begin_ns: int,
    rows: tuple[int, int],
    until_ns: int,
) -> list[int]:
    """Bytes of what the first of two allocated from `begin_ns` on, and what was freed between the start of
    the second and `until_ns`."""
    ops, (first, second) = trace.ops, rows
    low, high = np.searchsorted(lifetimes.allocated_ns, (begin_ns, ops.end_ns[first]))
    freed_ns = lifetimes.freed_ns[low:high]
    gone = (freed_ns >= ops.start_ns[second]) & (freed_ns < until_ns)
    return [int(each) for each in lifetimes.bytes[low:high][gone]]


def _takes(call: OpCall, sizes: Sequence[int]) -> bool:
    """Whether an argument that `call` reads can have been one of the freed tensors."""
    unread = UNREAD.get(call.name, ())
    return any(
        place not in unread and (least := tensor_bytes(dims, dtype)) is not None
        and any(least <= size < least + ROUNDING for size in sizes)
        for place, dims, dtype, _ in call.tensors()
    )  # fmt: skip


def tensor_bytes(dims: Dims, dtype: str | None) -> int | None:
    """Bytes of a tensor; None of what is none."""
    sizes = [size for size in dims if isinstance(size, int)]
    return prod(sizes) * ITEMSIZE[dtype] if dtype and sizes and len(sizes) == len(dims) else None
