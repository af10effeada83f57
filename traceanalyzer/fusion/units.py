"""The operators of one step that do work, in the order in which they began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traceanalyzer.columns import Ids, Ints, RecordKind, Step, Trace, distinct
from traceanalyzer.cost.ownership import Ownership
from traceanalyzer.cost.registry import formula_for


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """One entry an invocation of a priced operator, or of one that launched work and has no price."""

    op: Ids        # row in Trace.ops, ascending by the operator's start
    time_ns: Ints  # of its records


def units(trace: Trace, ownership: Ownership, step: Step) -> Units:
    """Those whose work was launched within `step`; views, allocations and mere dispatch apart."""
    kernels, ops = trace.kernels, trace.ops
    within = (kernels.launch_ns >= step.start_ns) & (kernels.launch_ns < step.end_ns)
    works = (kernels.kind == RecordKind.KERNEL) | (kernels.kind == RecordKind.HOST)
    linked = (kernels.unlinked < 0) & (kernels.op >= 0) & ~ownership.overhead
    records = np.flatnonzero(within & works & linked)
    owner = np.where(ownership.owner[records] >= 0, ownership.owner[records], kernels.op[records])
    kept = ~_free(trace, owner) & (ops.call[owner] >= 0)
    records, owner = records[kept], owner[kept]
    rows = distinct(owner)
    time_ns = np.zeros(len(rows), np.int64)
    np.add.at(time_ns, np.searchsorted(rows, owner), kernels.duration_ns[records])
    order = np.argsort(ops.start_ns[rows], kind="stable")
    return Units(rows[order].astype(np.int32), time_ns[order])


def _free(trace: Trace, rows: Ids) -> np.ndarray:
    """Whether each op is a view or an allocation."""
    calls = distinct(trace.ops.call[rows])
    free = np.zeros(len(trace.calls) + 1, bool)
    for call in calls[calls >= 0].tolist():
        formula = formula_for(trace.calls[call])
        free[call] = formula is not None and formula.role == "free"
    return free[trace.ops.call[rows]]
