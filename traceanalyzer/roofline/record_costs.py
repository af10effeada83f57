"""The cost of each record's own call: what an op row has in all, of one invocation (FLOPs, bytes, ns)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traceanalyzer.records import Cost, OpRow
from traceanalyzer.records.annotations import CallCost, Costs
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.trace import Bools, Ids, Ints
from traceanalyzer.roofline.invocations import COMPUTE, COPY, Groups, group, longest_by_group
from traceanalyzer.roofline.judge import work_classes
from traceanalyzer.roofline.measure import any_of, call_times
from traceanalyzer.roofline.row_keys import RowHead, moved_by_copy, row_heads


def record_costs(judged: Judged) -> Costs:
    """Of every record, also of those outside the window, whose rows are judged by the calls inside.

    What runs outside alone is not judged: no call inside says what its verdict is.

    A call's cost is its longest record's; of a call whose work is priced in the ops it calls, none's.
    """
    priced, kernels = judged.priced, judged.priced.trace.kernels
    work_class = work_classes(priced.trace)
    groups = group(priced, work_class)
    heads = row_heads(priced, groups, work_class, judged.times.inside)
    runs = len(groups.invocation_row)
    works = ~any_of(groups.invocation[priced.overhead], runs)
    carries = np.zeros(len(kernels), bool)
    carries[longest_by_group(groups.invocation, kernels.duration_ns, runs)[works]] = True
    inside = any_of(groups.invocation[judged.times.inside], runs)
    counted = np.bincount(groups.invocation_row[inside & works], minlength=len(heads))
    calls = [
        _call(head, row, int(count))
        for head, row, count in zip(heads, judged.table, counted.tolist(), strict=True)
    ]
    call = _copies(calls, heads, groups, kernels.copied_bytes)
    time_ns = call_times(priced.trace, groups, runs)
    outer = _outer(judged, np.array([each.verdict == "unmodelled" for each in calls], bool)[call])
    outer |= _unjudged(judged, groups, heads)[groups.row]
    return Costs(calls, call, carries, groups.invocation, time_ns[groups.invocation], outer)


def _unjudged(judged: Judged, groups: Groups, heads: Sequence[RowHead]) -> Bools:
    """Rows of kernels none of which lies in the window."""
    inside = np.bincount(groups.row[judged.times.inside], minlength=len(heads))
    unjudged: Bools = (inside == 0) & np.array([head.work == COMPUTE for head in heads], bool)
    return unjudged


def _outer(judged: Judged, unmodelled: Bools) -> Bools:
    """Frames of a CPU trace without work of their own, which spend over half of their time in what they call.

    `aten::linear`, `autograd::engine::evaluate_function`: as wide as the operator that does the work, whose
    verdict theirs would hide.
    """
    kernels = judged.priced.trace.kernels
    if not judged.priced.trace.on_cpu:
        return np.zeros(len(kernels), bool)
    workless = unmodelled | judged.priced.overhead
    return workless & (2 * kernels.duration_ns < kernels.end_ns - kernels.start_ns)


def _call(head: RowHead, row: OpRow, counted: int) -> CallCost:
    """`counted`: calls that the row's totals are of; without one nothing says what a call's roof is."""
    cost = head.price
    flops = cost.flops if isinstance(cost, Cost) and head.work == COMPUTE else None
    modelled = head.work == COMPUTE
    roof_ns = row.roof_ns / counted if row.roof_ns is not None and counted else None
    return CallCost(
        row.verdict, row.limiter, flops,
        cost.read_bytes if modelled else None, cost.write_bytes if modelled else None, roof_ns,
    )  # fmt: skip


def _copies(calls: list[CallCost], heads: Sequence[RowHead], groups: Groups, copied_bytes: Ints) -> Ids:
    """Index in `calls` of each record: a copy's is by its own size, and is put behind those of rows."""
    call = groups.row.copy()
    of_copies = np.array([head.work == COPY for head in heads], bool)
    copies = np.flatnonzero(of_copies[groups.row] & (copied_bytes >= 0))
    places: dict[tuple[int, int], int] = {}
    for record, row, size in zip(
        copies.tolist(), groups.row[copies].tolist(), copied_bytes[copies].tolist(), strict=True
    ):
        index = places.get((row, size))
        if index is None:
            index = places[row, size] = len(calls)
            read, written = moved_by_copy(heads[row].name, size)
            calls.append(CallCost(calls[row].verdict, calls[row].limiter, 0, read, written, None))
        call[record] = index
    return call
