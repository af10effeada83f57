"""What compiling a module makes slower on a CPU: counted against what it saves there.

Generated code draws random numbers one by one, and again in the backward pass instead of keeping the mask;
and it adds through an index with one atomic operation an element, where ATen gives each thread its own rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from traceanalyzer.fusion.module_names import holder, is_in, pattern
from traceanalyzer.fusion.regions import RANDOM, Region, added_as_before, added_through_index, regions
from traceanalyzer.fusion.rules.base import Match, compilable
from traceanalyzer.fusion.savings import ATOMIC_FLOPS, Work, saving
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band

# Of one number in generated loops, in FLOPs that take as long: 5 and 19 ns on two threads of an AMD EPYC.
_DRAWN_FLOPS = {name: 4800 if name in ("normal", "randn") else 1350 for name in RANDOM}


def slower(graph: StepGraph, matches: Sequence[Match]) -> list[Match]:
    """Matches of no operators, beside those of the same modules, that take from their saving.

    What lies in no module of theirs goes to the one that takes most time, where the whole model is compiled.
    """
    timed = [match for match in matches if match.nodes and match.after is not None]
    if not graph.trace.on_cpu or not timed:
        return []
    largest = max(timed, key=lambda match: sum(node.time_ns for node in match.nodes))
    alone = graph.once(_alone)
    lost: list[Match] = []
    for node in alone:
        near = next((match for match in timed if _alike(match, node)), None)
        if near is None and any(match.compiled_with_neighbors for match in timed):
            near = largest
        band = _lost(graph, node) if near is not None else None
        if near is not None and band is not None:
            lost.append(Match((), near.tier, saved=band, where=holder(near.nodes), slower=node.name))
    return lost


def _alone(graph: StepGraph) -> tuple[Node, ...]:
    """Those that are made slower, and that no region holds, whose arithmetic counts them already."""
    free = compilable(graph, Free())
    joined: tuple[Region, ...] = tuple(regions(graph, free))
    held = {node.place for each in joined for node in each.nodes}
    return tuple(
        node for node in graph.nodes
        if free(node) and node.place not in held and not graph.compiled(node)
        and (node.name in RANDOM or added_through_index(graph, node) and not added_as_before(graph, node))
    )  # fmt: skip


def _lost(graph: StepGraph, node: Node) -> Band | None:
    """By how much longer it takes; None where that is nothing, or a roof is not known."""
    trained = node.phase == "forward" and any(each.phase == "backward" for each in graph.nodes)
    drawn = _DRAWN_FLOPS.get(node.name, 0) * node.elements * (2 if trained else 1)
    # An hour saved, less what it takes: the time of generated code has one home.
    hour = 3.6e12
    atomic = ATOMIC_FLOPS * node.elements if added_through_index(graph, node) else 0
    work = Work(0, 0, loop_flops=drawn, atomic_flops=atomic, share=0.0)
    left = saving(hour, work, graph.device, graph.floor_ns)
    if left is None:
        return None
    longer = [hour - end - node.time_ns for end in (left.high, left.mid, left.low)]
    if longer[1] <= 0:
        return None
    return Band(-longer[2], -longer[1], -max(0.0, longer[0]))


def _alike(match: Match, node: Node) -> bool:
    """Whether the node is in the module that holds the match, or in one alike of another layer."""
    return is_in(pattern(node.module or ""), pattern(match.where or holder(match.nodes)))
