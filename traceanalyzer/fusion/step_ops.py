"""The operators of one step that do work, in the order in which they began."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.priced import Priced
from traceanalyzer.records.trace import Bools, Ids, Ints, OpKind, RecordKind, Step, distinct


class StepOps(msgspec.Struct, frozen=True, eq=False):
    """One entry an invocation of a priced operator, or of one that launched work and has no price."""

    op: Ids  # row in Trace.ops, ascending by the operator's start
    time_ns: Ints  # of its records
    records: Ints  # how many they are: kernels, or the op's own and its parts' on a CPU


def step_ops(priced: Priced, step: Step) -> StepOps:
    """Those whose work was launched within `step`; views, allocations and mere dispatch apart.

    What one of them calls is a part of it.
    """
    trace = priced.trace
    kernels, ops = trace.kernels, trace.ops
    within = (kernels.launch_ns >= step.start_ns) & (kernels.launch_ns < step.end_ns)
    works = (kernels.kind == RecordKind.KERNEL) | (kernels.kind == RecordKind.HOST)
    linked = (kernels.unlinked < 0) & (kernels.op >= 0) & ~priced.overhead
    records = np.flatnonzero(within & works & linked)
    op = np.where(priced.priced_op[records] >= 0, priced.priced_op[records], kernels.op[records])
    kept = ~_idle(priced, op) & (ops.call[op] >= 0) & (ops.kind[op] == OpKind.OP)
    records, op = records[kept], _outermost(ops.parent, op[kept])
    rows = distinct(op)
    place = np.searchsorted(rows, op)
    time_ns = np.zeros(len(rows), np.int64)
    np.add.at(time_ns, place, kernels.duration_ns[records])
    count = np.bincount(place, minlength=len(rows))
    order = np.argsort(ops.start_ns[rows], kind="stable")
    return StepOps(rows[order].astype(np.int32), time_ns[order], count[order])


def _outermost(parent: Ids, rows: Ids) -> Ids:
    """For each of them the outermost that it is a part of, as the copy of a bias is of its matmul."""
    member = np.zeros(len(parent) + 1, bool)
    member[rows] = True
    outermost, above = rows.copy(), parent[rows]
    while (above >= 0).any():
        outermost = np.where((above >= 0) & member[above], above, outermost)
        above = np.where(above >= 0, parent[above], -1)
    return outermost


def _idle(priced: Priced, rows: Ids) -> Bools:
    """Whether each op moves nothing: a view, an allocation, a question about a tensor.

    On a CPU every operator has a record; one that nothing is known of is taken for mere dispatch there.
    """
    trace = priced.trace
    calls = distinct(trace.ops.call[rows])
    idle = np.zeros(len(trace.calls) + 1, bool)
    for row in calls[calls >= 0].tolist():
        priced_call = priced.prices[row]
        if priced_call.formula is None:
            idle[row] = trace.on_cpu
        else:
            idle[row] = (
                priced_call.role == "free" or priced_call.known is not None and not priced_call.known.bytes
            )
    return idle[trace.ops.call[rows]]
