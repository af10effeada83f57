"""Links kernel -> launch -> operator: the link op of each GPU record, in numpy.

The launch of a record is the runtime or driver call with its correlation; its link op is the innermost
operator open on the launching thread at that moment. The External id is used last: up to torch 2.3 it
repeats the correlation (kineto/libkineto/src/CuptiActivity.cpp), which as an op's id names a wrong op, and
early ROCm tracers count their calls in it. No operator launched what began before it did.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.records.trace import (
    UNLINKED,
    Codes,
    Ids,
    Ints,
    Kernels,
    Launches,
    OpKind,
    Ops,
    nearest,
    passes,
)
from traceanalyzer.trace.linking.kinds import is_graph_launch
from traceanalyzer.trace.reading.raw import RawKernels, RawLaunches, at_rows

_NO_CORRELATION, _NO_LAUNCH, _NO_OP, _CUDA_GRAPH, _COMPILED_REGION = range(len(UNLINKED))

_AS_RECORDED = (
    "start_ns", "end_ns", "name", "kind", "device", "stream", "correlation", "blocks", "threads", "geometry",
    "registers", "shared_bytes", "copied_bytes", "collective", "file_row",
)  # fmt: skip


class Links(msgspec.Struct, frozen=True, eq=False):
    """Of each record: rows in the launches and in the ops (-1: none), and why it has no link op."""

    launch: Ids
    op: Ids
    unlinked: Codes


def link(
    names: Sequence[str], ops: Ops, external: Ints, launches: Launches, kernels: RawKernels, tolerance_ns: int
) -> Links:
    """Link every record. `external`: the External id of each row of `ops`; O((ops + records) log)."""
    launch = launches_of(launches, kernels.correlation, kernels.start_ns)
    used, back = np.unique(launch, return_inverse=True)
    at_launch = np.full(len(used), -1, np.int32)
    launched = used >= 0
    rows = used[launched]
    at_launch[launched] = ops_open_at(ops, launches.thread[rows], launches.start_ns[rows], tolerance_ns)
    op = at_launch[back]
    distinct_external = (kernels.external >= 0) & (kernels.external != kernels.correlation)
    lost = np.flatnonzero((op < 0) & distinct_external)
    moment_ns = np.where(launch < 0, kernels.start_ns, np.append(launches.start_ns, -1)[launch])
    begun = latest_before(external, ops.start_ns, kernels.external[lost], moment_ns[lost])
    op[lost] = _enclosing_operator(ops, begun)
    graph = passes(names, np.append(launches.name, np.int32(-1))[launch], is_graph_launch)
    unlinked = np.full(len(op), -1, np.int8)
    nothing = op < 0
    unlinked[nothing] = _NO_OP
    unlinked[nothing & (launch < 0)] = _NO_LAUNCH
    unlinked[nothing & (kernels.correlation < 0)] = _NO_CORRELATION
    if len(ops):
        unlinked[~nothing & (ops.kind[op] == OpKind.COMPILED)] = _COMPILED_REGION
    unlinked[graph] = _CUDA_GRAPH
    return Links(launch, op, unlinked)


def launches_of(launches: Launches, correlation: Ints, moment_ns: Ints) -> Ids:
    """The launch of each record: of those with its correlation the latest that began before it.

    Where all begin after it (two clocks, some microseconds apart) it is the first. -1: there is none.
    """
    launch = latest_before(launches.correlation, launches.start_ns, correlation, moment_ns)
    early = np.flatnonzero((launch < 0) & (correlation >= 0))
    if len(early):
        by_start = np.argsort(launches.start_ns, kind="stable")
        first = rows_of(correlation[early], launches.correlation[by_start])
        launch[early] = np.append(by_start, -1)[first]
    launch[correlation < 0] = -1
    return launch


def latest_before(key: Ints, moment_ns: Ints, wanted_key: Ints, wanted_ns: Ints) -> Ids:
    """Of the rows with each wanted key, the last whose moment is not after the wanted one; -1: none.

    O((n + wanted) log n).
    """
    if not len(key):
        return np.full(len(wanted_key), -1, np.int32)
    rows = np.lexsort((moment_ns, key)).astype(np.int32)
    keys, moments = key[rows], moment_ns[rows]
    first = np.searchsorted(keys, wanted_key)
    low, high = first.copy(), np.searchsorted(keys, wanted_key, side="right")
    active = np.flatnonzero(low < high)
    while len(active):  # binary search for all at once; nearly all keys have one row: one turn
        middle = (low[active] + high[active]) // 2
        before = moments[middle] <= wanted_ns[active]
        low[active[before]] = middle[before] + 1
        high[active[~before]] = middle[~before]
        active = active[low[active] < high[active]]
    return np.where(low > first, rows[low - 1], np.int32(-1))


def rows_of(wanted: Ints, keys: Ints) -> Ids:
    """The first row of `keys` that equals each wanted value, or -1."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int32)
    by_key = np.argsort(keys, kind="stable")
    slot = np.searchsorted(keys, wanted, sorter=by_key)
    row = by_key[np.minimum(slot, len(keys) - 1)]
    return np.where(keys[row] == wanted, row, -1).astype(np.int32)


def ops_open_at(ops: Ops, thread: Ids, moment_ns: Ints, tolerance_ns: int) -> Ids:
    """The innermost operator whose [start, end] on `thread` holds each moment; -1 where none does.

    An annotation is no operator: what is launched in a `record_function` inside an op is the op's.
    Only where no operator holds the moment does the resolution of the clock count as inside.
    """
    op = _open_at(ops, thread, moment_ns, 0)
    if tolerance_ns:
        missed = np.flatnonzero(op < 0)
        op[missed] = _open_at(ops, thread[missed], moment_ns[missed], tolerance_ns)
    return op


def _open_at(ops: Ops, thread: Ids, moment_ns: Ints, slack_ns: int) -> Ids:
    """From the operator begun last up through its ancestors, until one is still open."""
    op = np.full(len(thread), -1, np.int32)
    annotations = np.flatnonzero(ops.kind == OpKind.ANNOTATION)
    # Where those that follow one another begin: the operator begun last stands before them.
    opens = np.maximum.accumulate(
        np.where(np.diff(annotations, prepend=-1) > 1, annotations, annotations[:1])
    )
    for number in np.unique(thread).tolist():
        mine = np.flatnonzero(thread == number)
        low, high = np.searchsorted(ops.thread, np.array((number, number + 1), np.int32)).tolist()
        last = low - 1 + np.searchsorted(ops.start_ns[low:high], moment_ns[mine] + slack_ns, side="right")
        at = np.searchsorted(annotations, last)
        annotated = np.append(annotations, -2)[at] == last
        last[annotated] = opens[at[annotated]] - 1
        op[mine] = np.where(last >= low, last, -1)
    active = np.flatnonzero(op >= 0)
    while len(active):
        row = op[active]
        closed = (ops.end_ns[row] + slack_ns < moment_ns[active]) | (ops.kind[row] == OpKind.ANNOTATION)
        active = active[closed]
        op[active] = ops.parent[row[closed]]
        active = active[op[active] >= 0]
    return op


def _enclosing_operator(ops: Ops, row: Ids) -> Ids:
    """Each row itself where it is an operator, else the innermost one round it; -1 stays."""
    annotated = np.flatnonzero(row >= 0)
    annotated = annotated[ops.kind[row[annotated]] == OpKind.ANNOTATION]
    if len(annotated):
        row = row.copy()
        row[annotated] = nearest(ops.parent, ops.kind != OpKind.ANNOTATION)[row[annotated]]
    return row


def sorted_launches(raw: RawLaunches) -> Launches:
    """Launches by (thread, start)."""
    rows = np.lexsort((raw.start_ns, raw.thread))
    return Launches(*(at_rows(getattr(raw, name), rows) for name in Launches.__struct_fields__))


def linked_kernels(
    names: Sequence[str], raw: RawKernels, ops: Ops, launches: Launches, links: Links
) -> Kernels:
    """The records in the order of `Kernels`, with their links.

    Where no launch was recorded, but an id names an operator, it was launched in that.
    """
    rows = np.lexsort(
        (text_rank(names, raw.name), raw.correlation, raw.stream, raw.device, raw.end_ns, raw.start_ns)
    )
    launch_ns = np.append(launches.start_ns, -1)[links.launch]  # -1 reads the last entry
    begun_ns = np.append(ops.start_ns, -1)[links.op]
    launch_ns = np.where(links.launch < 0, begun_ns, launch_ns)
    kept = {name: at_rows(getattr(raw, name), rows) for name in _AS_RECORDED}
    return Kernels(
        **kept, launch=links.launch[rows], launch_ns=launch_ns[rows], op=links.op[rows],
        unlinked=links.unlinked[rows], counted_bytes=np.maximum(raw.counted_bytes[rows], -1),
        duration_ns=kept["end_ns"] - kept["start_ns"],
    )  # fmt: skip


def text_rank(names: Sequence[str], name: Ids) -> Ids:
    """Place of each entry's name among the names in the order of their text."""
    used = np.unique(name)
    rank = np.empty(len(names), np.int32)
    rank[sorted(used.tolist(), key=names.__getitem__)] = np.arange(len(used), dtype=np.int32)
    return rank[name]
