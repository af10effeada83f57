"""Records grouped into invocations (one run of one priced op) and invocations into rows."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.code_places import modules_of_ops
from traceanalyzer.records.priced import Priced
from traceanalyzer.records.trace import Bools, Codes, Ids, Ints, places
from traceanalyzer.roofline.attribution import end_to_end

COMPUTE, COMMUNICATION, COPY = range(3)  # work_class of a record: who owns an instant shared by several


class Groups(msgspec.Struct, frozen=True, eq=False):
    """Row and invocation of every record."""

    row: Ids  # of each record: dense row number
    invocation: Ids  # of each record: dense number, ascending with `row`
    first_record: Ids  # of each row: one of its records, which stands for all
    invocation_row: Ids  # of each invocation


def group(priced: Priced, work_class: Codes) -> Groups:
    """One row a distinct (call, phase, module) of a priced or link op; else one a kernel name.

    A borrowed call has neither phase nor module.
    """
    ops, kernels = priced.trace.ops, priced.trace.kernels
    borrows, within = priced.borrowed_call >= 0, modules_of_ops(priced.trace)
    op = np.where(borrows, -1, np.where(priced.priced_op >= 0, priced.priced_op, kernels.op))
    call: Ids = np.append(ops.call, np.int32(-1))[op]  # an op of -1 reads the -1 behind
    phase: Codes = np.append(ops.phase, np.int8(-1))[op]
    module: Ids = np.append(within, np.int32(-1))[op]
    call = np.where(borrows, priced.borrowed_call, call)
    linked = (kernels.unlinked < 0) & (call >= 0)
    by_op = (work_class == COMPUTE) & (linked | borrows)
    first_record, row = numbered(combine(
        by_op.astype(np.int8) + (by_op & ((priced.priced_op >= 0) | borrows)),
        np.where(by_op, call, kernels.name),
        np.where(by_op, phase, -1) + 1,
        np.where(by_op, module, -1) + 1,
        np.where(by_op | (work_class != COMPUTE), -1, kernels.unlinked) + 1,
        work_class,
    ))  # fmt: skip
    del call, phase, module
    each = np.arange(len(row), dtype=np.int32)
    source = by_op.astype(np.int8) + (by_op & borrows)
    first_of_run, invocation = numbered(
        combine(row, source, np.where(by_op, np.where(borrows, priced.borrowed_run, op), each))
    )
    return Groups(row, invocation, first_record, row[first_of_run])


def numbered(key: Ints) -> tuple[Ids, Ids]:
    """Of each distinct value, ascending, where it is first; and of each entry the number of its value.

    For values from 0 on. A value sorted with its place behind it takes half the memory of an `argsort`.
    """
    if int(key.max(initial=0)) < 4 * len(key):
        values, at = places(key)
        first = np.empty(len(values), np.int32)
        first[at[::-1]] = np.arange(len(key) - 1, -1, -1, dtype=np.int32)
        return first, at.astype(np.int32)
    bits = len(key).bit_length()
    if int(key.max(initial=0)).bit_length() + bits > 63:
        _, opened, at = np.unique(key, return_index=True, return_inverse=True)
        return opened.astype(np.int32), at.ravel().astype(np.int32)
    ordered = (key << bits) | np.arange(len(key))
    ordered.sort()
    entry = (ordered & ((1 << bits) - 1)).astype(np.int32)
    ordered >>= bits
    opens = np.ones(len(key), bool)
    opens[1:] = ordered[1:] != ordered[:-1]
    number: Ids = np.empty(len(key), np.int32)
    number[entry] = np.cumsum(opens) - 1
    return entry[opens], number


def combine(*parts: np.ndarray) -> Ints:
    """One int64 key for several columns of small non-negative integers: equal iff all are equal."""
    key = np.zeros(len(parts[0]), np.int64)
    size = 1
    for part in parts:
        width = int(part.max()) + 1 if len(part) else 1
        if size * width >= 2**62:
            _, key = np.unique(key, return_inverse=True)
            size = len(part)
        key *= width
        key += part
        size *= width
    return key


def union_by_group(group: Ids, start_ns: Ints, end_ns: Ints, count: int) -> Ints:
    """Length of the union of each group's intervals, in ns."""
    total = np.zeros(count, np.int64)
    if not len(group):
        return total
    order = np.lexsort((start_ns, group))
    group, start_ns, end_ns = group[order], start_ns[order], end_ns[order]
    opens, shift = end_to_end(group, start_ns, end_ns)
    each = np.repeat(shift, np.diff(opens, append=len(group)))
    start, end = start_ns + each, end_ns + each
    covered = np.maximum.accumulate(end)
    before = np.concatenate(([start[0]], covered[:-1]))
    np.add.at(total, group, np.maximum(end - np.maximum(start, before), 0))
    return total


def longest_by_group(group: Ids, duration_ns: Ints, count: int) -> Ids:
    """Index of the longest member of each group; the first of equals."""
    order = np.lexsort((-duration_ns, group))
    first = np.searchsorted(group[order], np.arange(count))
    return order[first].astype(np.int32)


def median_by_group(group: Ids, value: Ints, eligible: Bools, count: int) -> Ids:
    """Index of the lower-median member among the eligible of each group; -1 where none is."""
    members = np.flatnonzero(eligible).astype(np.int32)
    order = members[np.lexsort((value[members], group[members]))]
    sizes = np.bincount(group[members], minlength=count)
    begins = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    middle = np.where(sizes > 0, begins + (sizes - 1) // 2, -1)
    return np.append(order, np.int32(-1))[middle]  # -1 reads the -1 behind
