"""What a suggestion frees at the peak of a step's memory: tensors in use then that it never writes.

A tensor counts where it is known that nobody else needs it: all that read it are replaced with the operator
that made it. Where a step was executed, its edges say so; else the frees do: what is freed between the start
of the operator behind its maker and that of the next had no other reader. The scores of attention count in
any case: the fused kernel has them nowhere, neither for its forward nor for its backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.fusion.regions import region
from traceanalyzer.fusion.rules import Match, Rule
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records.trace import OpKind
from traceanalyzer.roofline.memory_levels import innermost_ops, levels_of, live_rows, peak_of

_REPLACING = ("compiled", "attention", "optimizer")  # whose kernels keep what lies between to themselves


class HeldTensor(msgspec.Struct, frozen=True):
    """One allocation that is in use at the peak."""

    bytes: int
    freed_ns: int


Held = Mapping[int, tuple[HeldTensor, ...]]


def peak_bytes_saved(graph: StepGraph, rule: Rule, group: Sequence[Match], held: Held | None) -> int | None:
    """Bytes of a group of matches; None where it cannot be told.

    That is: no memory rows of the device (`held`), a part of a trace, matches that are only likely, or a rule
    that replaces nothing.
    """
    unsure = any(match.tier == "T3" or not match.nodes for match in group)
    if rule.replacement not in _REPLACING or unsure or graph.stretch.repeats != 1:
        return None
    if held is None:
        return None
    return sum(_freed(graph, match, held) for match in group)


def held_at_peak(graph: StepGraph) -> Held | None:
    """What is in use at the peak of the step, by the place of the node that allocated it.

    None without memory rows.
    """
    trace, step = graph.trace, graph.step
    levels = levels_of(trace, graph.judged.device_index)
    if levels is None or not (levels.rows.address >= 0).any():
        return None
    first, last = map(int, np.searchsorted(levels.rows.time_ns, (step.start_ns, step.end_ns)))
    if first == last:
        return None
    _, _, row = peak_of(levels, first, last)
    live, freed_ns = live_rows(levels.rows, row)
    op = innermost_ops(trace.ops, levels.rows.thread[live], levels.rows.time_ns[live])
    place_of, held = _places(graph), dict[int, tuple[HeldTensor, ...]]()
    for at, size, freed in zip(op.tolist(), levels.rows.bytes[live].tolist(), freed_ns.tolist(), strict=True):
        node_place = _allocator(graph, place_of, at)
        if node_place is not None:
            held[node_place] = (*held.get(node_place, ()), HeldTensor(size, freed))
    return held


def _places(graph: StepGraph) -> dict[int, int]:
    """Place of the node that an op's allocations are of; `clone` allocates what its `copy_` writes."""
    place_of = {node.row: node.place for node in graph.nodes}
    ops = graph.trace.ops
    for node in graph.nodes:
        above = int(ops.parent[node.row])
        if node.call.name in UNREAD and above >= 0 and ops.kind[above] == OpKind.OP:
            place_of.setdefault(above, node.place)
    return place_of


def _allocator(graph: StepGraph, place_of: Mapping[int, int], op: int) -> int | None:
    """The node that is, or is round, this op."""
    parent = graph.trace.ops.parent
    while op >= 0:
        if op in place_of:
            return place_of[op]
        op = int(parent[op])
    return None


def _freed(graph: StepGraph, match: Match, held: Held) -> int:
    """Bytes that its nodes hold at the peak and nobody but them needs."""
    inside = region(graph, match.nodes).inside
    saved = 0
    for node_place in (inside | match.unwritten) & held.keys():
        tensors = held[node_place]
        if node_place not in match.unwritten and not graph.executed:
            span = _span(graph, node_place + 1)
            tensors = tuple(tensor for tensor in tensors if tensor.freed_ns in span)
        saved += sum(tensor.bytes for tensor in tensors)
    return saved


def _span(graph: StepGraph, node_place: int) -> range:
    """When what a node was the last to read is freed: from its start to that of the next one."""
    start = graph.trace.ops.start_ns
    behind = graph.nodes[node_place + 1].row if node_place + 1 < len(graph.nodes) else -1
    until = int(start[behind]) if behind >= 0 else graph.step.end_ns
    return range(int(start[graph.nodes[node_place].row]), until)
