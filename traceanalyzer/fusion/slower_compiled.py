"""What compiling a module makes slower on a CPU: counted against what it saves there.

Generated code draws random numbers one by one, and again in the backward pass instead of keeping the mask;
and it adds through an index with one atomic operation an element, where ATen gives each thread its own rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from traceanalyzer.fusion.module_names import holder, is_in, pattern
from traceanalyzer.fusion.regions import RANDOM, Region, added_as_before, added_through_index, regions
from traceanalyzer.fusion.rules import Match, Rule
from traceanalyzer.fusion.rules.base import compilable
from traceanalyzer.fusion.savings import ATOMIC_FLOPS, Work, added, saving, scaled
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band

Applied = tuple[Rule, list[Match]]
# Of one number in generated loops, in FLOPs that take as long: 5 and 19 ns on two threads of an AMD EPYC.
_DRAWN_FLOPS = {name: 4800 if name in ("normal", "randn") else 1350 for name in RANDOM}


def with_losses(graph: StepGraph, applied: Sequence[Applied]) -> list[Applied]:
    """The same matches; those that compiling a module replaces with their part of what that makes slower.

    Each operator is made slower once, whoever advises to compile its module: matches in modules like that,
    of all rules together, bear it in proportion to what they save. What lies in no module of theirs is borne
    by those that are compiled with the whole model.
    """
    rules = [matches for rule, matches in applied if rule.fixed_by_compiling_module]
    timed = [match for matches in rules for match in matches if match.nodes and match.after is not None]
    if not graph.trace.on_cpu or not timed:
        return list(applied)
    saved = {id(match): _saved(graph, match) for match in timed}
    lost: dict[int, list[tuple[str, Band]]] = {}
    for module, nodes in _by_module(graph.once(_alone)).items():
        bearing = [match for match in timed if is_in(module, pattern(match.where or holder(match.nodes)))]
        bearing = bearing or [match for match in timed if match.compiled_with_neighbors]
        whole = sum(saved[id(match)] for match in bearing)
        for node in nodes:
            band = _lost(graph, node) if whole else None
            if band is None:
                continue
            for match in bearing:
                part = scaled(band, saved[id(match)] / whole)
                lost.setdefault(id(match), []).append((node.name, part))
    return [
        (rule, [_with(match, lost[id(match)]) if id(match) in lost else match for match in matches])
        for rule, matches in applied
    ]


def _saved(graph: StepGraph, match: Match) -> float:
    """By its middle; what saves nothing bears nothing."""
    time_ns = graph.undisturbed_ns(match.nodes)
    band = saving(time_ns, match.after, graph.device, graph.floor_ns) if match.after else None
    return max(0.0, band.mid) if band is not None else 0.0


def _by_module(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    """Those of modules that are alike together."""
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(pattern(node.module or ""), []).append(node)
    return groups


def _with(match: Match, lost: Sequence[tuple[str, Band]]) -> Match:
    names = tuple(dict.fromkeys(name for name, _ in lost))
    return replace(match, lost=added([band for _, band in lost]), slower=names)


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
