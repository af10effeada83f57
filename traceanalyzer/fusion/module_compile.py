"""What compiling a module as a whole saves beyond its regions one by one.

Rules name parts of what one compiled kernel does, and count what passes from one part to the next as written
and read. And a compiled backward pass computes again what costs less to compute than to keep: its partitioner
cuts where fewest bytes cross (torch/_functorch/partitioners.py, min_cut_rematerialization_partition).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

import msgspec
from msgspec.structs import replace

from traceanalyzer.fusion.module_names import holder, is_whole_model, module_calls
from traceanalyzer.fusion.regions import RANDOM, Region, region, regions, weight
from traceanalyzer.fusion.rules import Match, Rule
from traceanalyzer.fusion.rules.base import arithmetic
from traceanalyzer.fusion.slower_compiled import Applied, with_losses
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

Source = tuple[str, int]  # one tensor: ("made", place of who makes it) or ("before", its origin)

Entry = tuple[str, int, str | None]  # of compiled code: the module, which call of it, and which pass


class _Traffic(msgspec.Struct):
    """Bytes that nodes move when all are compiled, and what backward ones compute again; all by place.

    It is filled kernel by kernel.
    """

    read: dict[int, int] = msgspec.field(default_factory=dict)
    written: dict[int, int] = msgspec.field(default_factory=dict)
    again: dict[int, tuple[Node, ...]] = msgspec.field(default_factory=dict)

    def of(self, node: Node) -> tuple[int, int]:
        return self.read.get(node.place, 0), self.written.get(node.place, 0)


class _Cut(msgspec.Struct, frozen=True):
    """What one backward kernel would compute again, instead of reading what a forward one kept for it."""

    first: dict[int, tuple[int, int]]  # of each tensor kept, by its maker: its first reader there, and bytes
    repeated: tuple[Node, ...]
    more: int  # bytes that it has to read for that, and does not yet

    @property
    def less(self) -> int:
        """Bytes that it reads fewer."""
        return sum(amount for _, amount in self.first.values()) - self.more


def compiled_together(graph: StepGraph, applied: Sequence[Applied]) -> list[Applied]:
    """The same matches; those that compiling a module replaces with what they move once all are compiled.

    On a CPU that is the remedy of every rule that generated code follows. What is computed again has been
    compared with measurements on a CPU alone (docs/savings.md); on a GPU it is left out.
    """
    places = {
        node.place for rule, matches in applied if _by_module(graph, rule)
        for match in matches if match.tier < "T3" for node in match.nodes if node.module is not None
    }  # fmt: skip
    sure = replace(graph, edges=tuple(edge for edge in graph.edges if edge.tier < "T3"))
    others = frozenset(node.place for node in graph.nodes) - places
    kernels = tuple(regions(sure, Free(others)))
    traffic = _Traffic()
    for kernel in kernels:
        traffic.read.update(kernel.read)
        traffic.written.update(kernel.written)
    home = {node.place: kernel for kernel in kernels for node in kernel.nodes}
    for kernel in kernels if graph.executed and graph.trace.on_cpu else ():
        _compute_again(sure, kernel, home, traffic)
    whole = [
        (rule, [_less(graph, match, traffic) for match in matches] if _by_module(graph, rule) else matches)
        for rule, matches in applied
    ]
    return with_losses(graph, list(_entered_once(graph, whole)) if graph.trace.on_cpu else whole)


def _entered_once(graph: StepGraph, applied: Sequence[Applied]) -> Iterator[Applied]:
    """Of the regions of a module that is compiled the first of each call and pass is what enters it."""
    entered: set[Entry] = set()
    calls = cache(partial(module_calls, graph))
    for rule, matches in applied:
        if not _by_module(graph, rule):
            yield rule, matches
            continue
        joined = []
        for match in matches:
            entries = _entries(graph, match, calls)
            if match.after is not None and entries:
                fresh, launches = len(entries - entered), match.after.launches
                entering = max(launches, fresh) if fresh else 0
                after = replace(match.after, launches=entering, inner=0 if fresh else launches)
                match = replace(match, after=after)
                entered |= entries
            joined.append(match)
        yield rule, joined


def _entries(graph: StepGraph, match: Match, calls: Callable[[str], list[int]]) -> set[Entry]:
    """Which calls of a module it is in, and in which pass; the module alone where no call is annotated.
    Nothing where it is in no module."""
    if not any(node.module for node in match.nodes):
        return set()
    module = match.where or holder(match.nodes)
    if match.compiled_with_neighbors or is_whole_model(graph, module):
        module = ""
    rows = calls(module)
    within = {(module, rows[node.place], node.phase) for node in match.nodes}
    return {entry for entry in within if entry[1] >= 0} or within


def _by_module(graph: StepGraph, rule: Rule) -> bool:
    return rule.replacement == "compiled" and (rule.fixed_by_compiling_module or graph.trace.on_cpu)


def _less(graph: StepGraph, match: Match, traffic: _Traffic) -> Match:
    """Without what its nodes need not move once their neighbors are compiled too."""
    nodes = [node for node in match.nodes if node.cost is not None]
    joined = region(graph, nodes)
    alone = _Traffic(joined.read, joined.written)
    moved = [(node, traffic.of(node) if node.place in traffic.read else alone.of(node)) for node in nodes]
    left = sum(sum(both) for _, both in moved)
    if match.after is None or left >= match.after.bytes:
        return match
    before = sum(weight(node, node.cost.read_bytes, node.cost.write_bytes) for node in nodes if node.cost)
    special, loops = arithmetic([other for node in nodes for other in traffic.again.get(node.place, ())])
    after = replace(
        match.after,
        bytes=left,
        share=min(match.after.share, sum(weight(node, *both) for node, both in moved) / before),
        special_flops=match.after.special_flops + special,
        loop_flops=match.after.loop_flops + loops,
    )
    fewer = match.after.bytes - left
    return replace(
        match, after=after, bytes_saved=(match.bytes_saved or 0) + fewer, compiled_with_neighbors=True
    )


def _compute_again(graph: StepGraph, kernel: Region, home: Mapping[int, Region], traffic: _Traffic) -> None:
    """Of what a forward kernel keeps for backward ones either all or nothing, whichever moves less."""
    if kernel.nodes[0].phase != "forward":
        return
    kept = [node for node in kernel.nodes if _for_backward_alone(graph, node, kernel, home)]
    readers = {id(reader): reader for node in kept for reader in _readers(graph, node, kernel, home)}
    cuts = [_cut(graph, kernel, kept, reader) for reader in readers.values()]
    if sum(traffic.written[node.place] for node in kept) + sum(cut.less for cut in cuts) <= 0:
        return
    for node in kept:
        traffic.written[node.place] = 0
    for cut in cuts:
        for reader, amount in cut.first.values():
            traffic.read[reader] = max(0, traffic.read[reader] - amount)
        first_reader = min(reader for reader, _ in cut.first.values())
        traffic.read[first_reader] += cut.more
        traffic.again[first_reader] = (*traffic.again.get(first_reader, ()), *cut.repeated)


def _for_backward_alone(graph: StepGraph, node: Node, kernel: Region, home: Mapping[int, Region]) -> bool:
    """Whether nobody but compiled backward kernels needs what it makes, which can be made again."""
    readers = {edge.consumer for edge in graph.out_of.get(node.place, ())}
    outside = [place for place in readers if home.get(place) is not kernel]
    backward = all(place in home and graph.nodes[place].phase == "backward" for place in outside)
    return bool(outside) and backward and node.place in graph.freed_in_step and _repeatable(node)


def _repeatable(node: Node) -> bool:
    return (
        node.fusible in ("element", "gather") and node.name not in RANDOM and not node.call.name.endswith("_")
    )


def _readers(graph: StepGraph, node: Node, kernel: Region, home: Mapping[int, Region]) -> list[Region]:
    places = [edge.consumer for edge in graph.out_of[node.place]]
    return [home[place] for place in places if home[place] is not kernel]


def _cut(graph: StepGraph, kernel: Region, kept: Sequence[Node], reader: Region) -> _Cut:
    theirs = {node.place for node in reader.nodes}
    first: dict[int, tuple[int, int]] = {}
    for node in kept:
        uses = [(edge.consumer, edge.bytes) for edge in graph.out_of[node.place] if edge.consumer in theirs]
        if uses:
            first[node.place] = min(uses)[0], max(amount for _, amount in uses)
    repeated = _needed(graph, kernel, list(first))
    needs = _sources(graph, repeated)
    there = _sources(graph, reader.nodes)
    more = sum(amount for source, amount in needs.items() if source not in there)
    return _Cut(first, tuple(repeated), more)


def _needed(graph: StepGraph, kernel: Region, wanted: Sequence[int]) -> list[Node]:
    """The kernel's nodes that have to run again for `wanted`, back to what it reads or reduces."""
    inside = {node.place: node for node in kernel.nodes}
    needed: dict[int, Node] = {}
    ahead = list(wanted)
    while ahead:
        node = inside[ahead.pop()]
        needed[node.place] = node
        makers = [edge.producer for edge in graph.into.get(node.place, ())]
        ahead += [at for at in makers if at in inside and at not in needed and _repeatable(inside[at])]
    return sorted(needed.values(), key=lambda node: node.place)


def _sources(graph: StepGraph, nodes: Sequence[Node]) -> dict[Source, int]:
    """What these nodes read that none of them makes, and bytes."""
    places = {node.place for node in nodes}
    sources: dict[Source, int] = {}
    for node in nodes:
        reads = [(("made", edge.producer), edge.bytes) for edge in graph.into.get(node.place, ())]
        reads += [
            (("before", outer.origin), outer.bytes) for outer in graph.external_reads_of.get(node.place, ())
        ]
        for source, amount in reads:
            if source[0] == "before" or source[1] not in places:
                sources[source] = max(sources.get(source, 0), amount)
    return sources
