"""The operators of one step that do work, in the order in which they began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traceanalyzer.cost.price import Ownership
from traceanalyzer.cost.registry import formula_for, price_call
from traceanalyzer.records import Cost
from traceanalyzer.records.trace import Bools, Ids, Ints, OpKind, RecordKind, Step, Trace, distinct


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """One entry an invocation of a priced operator, or of one that launched work and has no price."""

    op: Ids  # row in Trace.ops, ascending by the operator's start
    time_ns: Ints  # of its records
    records: Ints  # how many they are: kernels, or the op's own and its parts' on a CPU


def units(trace: Trace, ownership: Ownership, step: Step) -> Units:
    """Those whose work was launched within `step`; views, allocations and mere dispatch apart.

    What a unit calls is a part of it.
    """
    kernels, ops = trace.kernels, trace.ops
    within = (kernels.launch_ns >= step.start_ns) & (kernels.launch_ns < step.end_ns)
    works = (kernels.kind == RecordKind.KERNEL) | (kernels.kind == RecordKind.HOST)
    linked = (kernels.unlinked < 0) & (kernels.op >= 0) & ~ownership.overhead
    records = np.flatnonzero(within & works & linked)
    owner = np.where(ownership.priced_op[records] >= 0, ownership.priced_op[records], kernels.op[records])
    kept = ~_idle(trace, owner) & (ops.call[owner] >= 0) & (ops.kind[owner] == OpKind.OP)
    records, owner = records[kept], _outermost(ops.parent, owner[kept])
    rows = distinct(owner)
    place = np.searchsorted(rows, owner)
    time_ns = np.zeros(len(rows), np.int64)
    np.add.at(time_ns, place, kernels.duration_ns[records])
    count = np.bincount(place, minlength=len(rows))
    order = np.argsort(ops.start_ns[rows], kind="stable")
    return Units(rows[order].astype(np.int32), time_ns[order], count[order])


def _outermost(parent: Ids, rows: Ids) -> Ids:
    """For each unit the outermost one that it is a part of, as the copy of a bias is of its product."""
    member = np.zeros(len(parent) + 1, bool)
    member[rows] = True
    found, above = rows.copy(), parent[rows]
    while (above >= 0).any():
        found = np.where((above >= 0) & member[above], above, found)
        above = np.where(above >= 0, parent[above], -1)
    return found


def _idle(trace: Trace, rows: Ids) -> Bools:
    """Whether each op moves nothing: a view, an allocation, a question about a tensor.

    On a CPU every operator has a record; one that nothing is known of is taken for mere dispatch there.
    """
    calls = distinct(trace.ops.call[rows])
    idle = np.zeros(len(trace.calls) + 1, bool)
    for row in calls[calls >= 0].tolist():
        call = trace.calls[row]
        formula = formula_for(call)
        if formula is None:
            idle[row] = trace.on_cpu
            continue
        cost = price_call(call)
        idle[row] = formula.role == "free" or isinstance(cost, Cost) and not cost.bytes
    return idle[trace.ops.call[rows]]
