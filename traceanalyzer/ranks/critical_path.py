"""`critical_path`: what a step waited for, by verdict and module, and what shortening a row would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from traceanalyzer.ranks.hta_frame import Labels
from traceanalyzer.ranks.hta_graph import Span, WaitGraph, wait_graph
from traceanalyzer.ranks.longest_path import Dag, Path
from traceanalyzer.records import VERDICTS
from traceanalyzer.records.critical_path import (
    CriticalPath,
    PathModule,
    PathOp,
    PathPart,
    PathVerdict,
)
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.times import typical_step
from traceanalyzer.records.trace import Trace

_GAINS = 20  # rows of which is asked what the path would be without them


class _Owner(msgspec.Struct, frozen=True):
    """Whose time an edge is: a row of kernels, or operators of one name in one module on the host."""

    row: int  # in Judged.table; -1
    name: int = -1  # in Trace.names
    module: int = -1


class _Piece(msgspec.Struct, frozen=True):
    """Time of the path that belongs to one edge."""

    edge: int
    time_ns: int


def critical_path(judged: Judged) -> CriticalPath:
    """Of the step that is shown, or the whole trace without steps, of one device.

    ValueError where the trace has no GPU activity or HTA's graph is none; whatever HTA raises is passed on.
    """
    trace = judged.priced.trace
    if trace.on_cpu:
        raise ValueError("there is no GPU activity in the trace")
    step, span = _shown(judged)
    graph = wait_graph(trace, span)
    dag = Dag(graph.nodes, graph.begin, graph.end)
    owners = _owners(judged, graph)
    path = dag.longest(graph.weight)
    pieces = list(_pieces(graph, path))
    ops = _ops(judged, owners, pieces)
    spent = sum(row.time_ns for row, _ in ops)
    launch_ns = sum(piece.time_ns for piece in pieces if graph.launch[piece.edge])
    host_ns = sum(row.time_ns for row, _ in ops if row.verdict is None)
    return CriticalPath(
        step=step, step_ns=span.end_ns - span.start_ns, length_ns=path.length,
        by_verdict=_by_verdict([row for row, _ in ops]),
        other=(PathPart("host", host_ns), PathPart("launch", launch_ns),
               PathPart("between_kernels", path.length - spent - launch_ns)),
        by_module=_by_module([row for row, _ in ops], path.length),
        ops=tuple(_with_gain(row, owner, rank, graph, owners, dag, path.length)
                  for rank, (row, owner) in enumerate(ops)),
    )  # fmt: skip


def _shown(judged: Judged) -> tuple[str | None, Span]:
    """The name of the step, and when it ran."""
    window, trace = judged.window, judged.priced.trace
    if not window.steps:
        host = (trace.ops, trace.launches)
        starts = [int(t.start_ns.min()) for t in host if len(t)]
        ends = [int(t.end_ns.max()) for t in host if len(t)]
        ends_ns = max([*ends, window.end_ns])
        return None, Span(min([*starts, window.start_ns]), ends_ns, window.start_ns, window.end_ns)
    names = {step.name for step in window.steps}
    time = typical_step([each for each in judged.steps if each.name in names])
    step = next(each for each in window.steps if each.name == time.name)
    device_end_ns = time.device_start_ns + time.device_ns
    return step.name, Span(step.start_ns, step.end_ns, time.device_start_ns, device_end_ns)


def _owners(judged: Judged, graph: WaitGraph) -> list[_Owner | None]:
    """Of each edge; None for what is nobody's: from a launch to its kernel, from kernel to kernel."""
    trace, row = judged.priced.trace, judged.times.row
    labels, op_of_launch = Labels.of(trace), _op_of_launch(trace)
    owner_of: dict[int, _Owner | None] = {0: None}
    for label in set(graph.label) - {0}:
        if label >= labels.kernels:
            owner_of[label] = _Owner(int(row[label - labels.kernels])) if label < labels.syncs else None
        elif label >= labels.launches:
            launch = label - labels.launches
            op = int(op_of_launch[launch])
            owner_of[label] = _Owner(-1, int(trace.launches.name[launch]),
                                  int(trace.ops.module[op]) if op >= 0 else -1)  # fmt: skip
        else:
            owner_of[label] = _Owner(-1, int(trace.ops.name[label - 1]), int(trace.ops.module[label - 1]))
    return [owner_of[label] for label in graph.label]


def _op_of_launch(trace: Trace) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The operator that each launch is for, where a kernel tells; -1."""
    op = np.full(len(trace.launches) + 1, -1, np.int32)  # the last entry is of kernels without a launch
    op[trace.kernels.launch] = trace.kernels.op
    return op[:-1]


def _pieces(graph: WaitGraph, path: Path) -> Iterator[_Piece]:
    """The time of each edge of the path; one that leads back in time takes from those before it."""
    left: list[_Piece] = []
    for edge in path.edges:
        weight = graph.weight[edge]
        while weight < 0 and left:
            last = left.pop()
            if last.time_ns + weight > 0:
                left.append(_Piece(last.edge, last.time_ns + weight))
            weight = min(weight + last.time_ns, 0)
        if weight > 0:
            left.append(_Piece(edge, weight))
    return iter(left)


def _ops(
    judged: Judged, owners: Sequence[_Owner | None], pieces: Sequence[_Piece]
) -> list[tuple[PathOp, _Owner]]:
    """One for each owner, the longest first; what shortening it would give is not asked yet."""
    time: Counter[_Owner] = Counter()
    count: Counter[_Owner] = Counter()
    for piece in pieces:
        owner = owners[piece.edge]
        if owner is not None:
            time[owner] += piece.time_ns
            count[owner] += owner.row >= 0
    rows = [(_op(judged, owner, ns, count[owner]), owner) for owner, ns in time.items()]
    return sorted(rows, key=lambda each: (-each[0].time_ns, each[0].name, each[0].module or "", each[1].row))


def _op(judged: Judged, owner: _Owner, time_ns: int, kernels: int) -> PathOp:
    if owner.row < 0:
        names = judged.priced.trace.names
        module = names[owner.module] if owner.module >= 0 else None
        return PathOp(name=names[owner.name], input_dims=None, phase=None, module=module, verdict=None,
                      kernels=0, time_ns=time_ns, gain_ns=None)  # fmt: skip
    row = judged.table[owner.row]
    return PathOp(name=row.name, input_dims=row.input_dims, phase=row.phase, module=row.module,
                  verdict=row.verdict, kernels=kernels, time_ns=time_ns, gain_ns=None)  # fmt: skip


def _with_gain(
    row: PathOp, owner: _Owner, rank: int, graph: WaitGraph, owners: Sequence[_Owner | None], dag: Dag,
    length_ns: int,
) -> PathOp:  # fmt: skip
    """How much shorter the longest path is where everything of this owner takes no time."""
    if rank >= _GAINS:
        return row
    without = [
        min(weight, 0) if each == owner else weight for weight, each in zip(graph.weight, owners, strict=True)
    ]
    gain_ns = min(length_ns - dag.longest(without).length, row.time_ns)
    return PathOp(name=row.name, input_dims=row.input_dims, phase=row.phase, module=row.module,
                  verdict=row.verdict, kernels=row.kernels, time_ns=row.time_ns, gain_ns=gain_ns)  # fmt: skip


def _by_verdict(rows: Sequence[PathOp]) -> tuple[PathVerdict, ...]:
    return tuple(
        PathVerdict(verdict, sum(row.time_ns for row in rows if row.verdict == verdict),
                    sum(row.kernels for row in rows if row.verdict == verdict))
        for verdict in VERDICTS
    )  # fmt: skip


def _by_module(rows: Sequence[PathOp], length_ns: int) -> tuple[PathModule, ...]:
    """The longest first; what is of none, launches and gaps between kernels among it, has no name."""
    time: Counter[str | None] = Counter()
    for row in rows:
        time[row.module] += row.time_ns
    time[None] += length_ns - time.total()
    parts = sorted(time.items(), key=lambda part: (-part[1], part[0] or ""))
    return tuple(PathModule(module, ns) for module, ns in parts if ns)
