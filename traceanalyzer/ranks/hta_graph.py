"""The graph by which HTA finds the critical path of one step, with our own times on it.

HTA says what waits for what, and which waits are no work. Times are the trace's, cut to the step as the
device saw it, so that no path is longer than the step; an edge back in time, where clocks disagree or kernels
overlap, takes back what would count twice.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from traceanalyzer.ranks.hta import hta_trace
from traceanalyzer.ranks.hta_frame import Labels
from traceanalyzer.records.trace import Bools, Ids, Ints, OpKind, Trace

_RANK = 0  # the only one of this graph


class Span(msgspec.Struct, frozen=True):
    """One step: when the host ran it, and when the device did."""

    host_start_ns: int
    host_end_ns: int
    start_ns: int
    end_ns: int


class WaitGraph(msgspec.Struct, frozen=True, eq=False):
    """Edges between starts and ends of rows."""

    nodes: int
    begin: list[int]
    end: list[int]
    weight: list[int]  # ns of the step; below 0 where it leads back in time
    label: list[int]  # of the row whose time it is; 0: of none
    launch: list[bool]  # from a launch to its kernel


def wait_graph(trace: Trace, span: Span) -> WaitGraph:
    """Of what the host starts in `span` and the kernels that it launches there.

    Whatever HTA raises is passed on.
    """
    with _quiet():
        graph = _hta_graph(trace, span)
        return _weighted(trace, span, graph)


def _hta_graph(trace: Trace, span: Span) -> Any:
    from hta.analyzers.critical_path_analysis import CPGraph

    whole = hta_trace({_RANK: trace}, backward_threads(trace))
    step = hta_trace({}, symbols=whole.symbol_table)
    step.traces.update({_RANK: whole.traces[_RANK][_chosen(trace, span)].copy()})
    return CPGraph(step, whole, _RANK)


def _weighted(trace: Trace, span: Span, graph: Any) -> WaitGraph:
    from hta.analyzers.critical_path_analysis import CPEdgeType

    start, end = _times(trace)
    nodes = graph.node_list
    row = np.array([node.ev_idx - 1 for node in nodes], np.int64)
    starts = np.array([node.is_start for node in nodes], bool)
    moment = np.where(starts, start[row], end[row]).clip(span.start_ns, span.end_ns)
    edges = [edge for _, _, edge in graph.edges(data="object")]
    begin = np.array([edge.begin for edge in edges], np.int64)
    finish = np.array([edge.end for edge in edges], np.int64)
    length = moment[finish] - moment[begin]
    waits = np.array([edge.weight == 0 for edge in edges], bool)
    works = [edge.type == CPEdgeType.OPERATOR_KERNEL for edge in edges]
    attributed = graph.edge_to_event_map
    return WaitGraph(
        len(nodes), begin.tolist(), finish.tolist(),
        np.where(waits, np.minimum(length, 0), length).tolist(),
        [max(attributed.get((edge.begin, edge.end), 0), 0) if work else 0
         for edge, work in zip(edges, works, strict=True)],
        [edge.type == CPEdgeType.KERNEL_LAUNCH_DELAY for edge in edges],
    )  # fmt: skip


def _times(trace: Trace) -> tuple[Ints, Ints]:
    """Start and end of each row of the frame."""
    tables = (trace.ops, trace.launches, trace.kernels, trace.syncs)
    return (np.concatenate([table.start_ns for table in tables]),
            np.concatenate([table.end_ns for table in tables]))  # fmt: skip


def _chosen(trace: Trace, span: Span) -> Bools:
    """Rows of the frame: what the host starts in the step, and what that launches."""
    chosen = np.zeros(Labels.of(trace).end - 1, bool)
    start, end = _times(trace)
    host = len(trace.ops) + len(trace.launches)
    inside = (start[:host] >= span.host_start_ns) & (start[:host] <= span.host_end_ns)
    chosen[:host] = inside & (end[:host] > start[:host])
    launched = np.append(chosen[len(trace.ops) : host], False)  # a launch of -1 reads the last entry
    chosen[host:] = launched[np.concatenate((trace.kernels.launch, trace.syncs.launch))]
    return chosen


def backward_threads(trace: Trace) -> Ids:
    """The thread of each, those of backward passes as that of the forward pass: it waits for them.

    HTA does so too where it knows both by their names. Left alone where their operators overlap.
    """
    ops = trace.ops
    count = 1 + max(int(c.max(initial=-1)) for c in (ops.thread, trace.launches.thread, trace.spans.thread))
    threads = np.arange(count, dtype=np.int32)
    backward = np.bincount(ops.thread[ops.kind == OpKind.AUTOGRAD], minlength=count) > 0
    operators = np.bincount(ops.thread[ops.kind == OpKind.OP], minlength=count)
    forward = np.where(backward, 0, operators)
    if not backward.any() or not forward.any():
        return threads
    main = int(forward.argmax())
    for thread in np.flatnonzero(backward).tolist():
        if not _overlap(trace, main, thread):
            threads[thread] = main
    return threads


def _overlap(trace: Trace, first: int, second: int) -> bool:
    """Whether an operator of one thread begins inside of one of the other and ends outside of it."""
    ops = trace.ops
    rows = np.flatnonzero(((ops.thread == first) | (ops.thread == second)) & (ops.kind != OpKind.ANNOTATION))
    rows = rows[np.lexsort((-ops.end_ns[rows], ops.start_ns[rows]))]
    still_open: list[int] = []
    for start, end in zip(ops.start_ns[rows].tolist(), ops.end_ns[rows].tolist(), strict=True):
        while still_open and still_open[-1] <= start:
            still_open.pop()
        if still_open and end > still_open[-1]:
            return True
        still_open.append(end)
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """HTA logs what it leaves out and pandas warns it, and a first log gives the root logger a handler."""
    before, handlers = logging.root.manager.disable, list(logging.root.handlers)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
        for handler in [each for each in logging.root.handlers if each not in handlers]:
            logging.root.removeHandler(handler)
