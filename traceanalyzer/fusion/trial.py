"""What trying a suggestion means: what compiling changes beside what it replaces, and its price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from traceanalyzer.fusion.cost_to_try import WHOLE_MODEL, cost_to_try
from traceanalyzer.fusion.module_names import is_in_any
from traceanalyzer.fusion.pages import paging_ns
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.savings import WIDEST, added, at_most, possible, scaled
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.fusion.step_words import as_of
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.units import duration

# Of what is compiled on a CPU, by which its time changes beside the regions: measured, docs/savings.md.
_CHANGED_SHARE = 0.01
# Of a CPU's step, by which it differs from one process to the next, which has its tensors elsewhere: nine
# models in which a change did next to nothing took from 5 % less to 6 % more (docs/savings.md). With WIDEST
# a saving is proved from about 6 % on.
_PLACED_SHARE = 0.015
# Of what the host takes between operators that are compiled, with the profiler in it, and the system for
# pages of what they hand on: nothing where calls and blocks stay as they are, or nearly all.
_AROUND = Band(0.0, 0.4, 0.9)
_COMPILED = "compiling changes the time of what is compiled by about 1 %, and this may save less than that"
_PLACED = "steps of the same code differ by some percent from one process to the next: this may not be seen"


class Compiled(msgspec.Struct, frozen=True):
    """What all suggestions together compile."""

    times: Mapping[int, int] = {}  # by how many of them each node is, by its place
    replaced: frozenset[int] = frozenset()  # places of nodes whose time they count already

    @classmethod
    def by(cls, suggested: Iterable[tuple[Sequence[Node], Sequence[Node]]]) -> Compiled:
        """Of each what it compiles, and what of that it replaces."""
        each = [(nodes, replaced) for nodes, replaced in suggested if nodes]
        times = Counter(node.place for nodes, _ in each for node in nodes)
        return cls(times, frozenset(node.place for _, replaced in each for node in replaced))


def beyond_change(
    graph: StepGraph, band: Band | None, compiled: Sequence[Node], together: Compiled
) -> Band | None:
    """What is still sure, as a change on a CPU changes more than what it replaces; else from zero.

    `compiled`: what it compiles, with its part of what all that compile the same change.
    """
    if not graph.trace.on_cpu or band is None:
        return band
    changed_ns = sum(node.time_ns / together.times.get(node.place, 1) for node in compiled)
    low = band.low - _CHANGED_SHARE * changed_ns - _PLACED_SHARE * graph.step_ns
    most = WIDEST * low
    if band.low <= 0:
        return band
    return Band(low, band.mid, min(band.high, most)) if low > 0 and band.mid <= most else possible(band)


def with_surroundings(graph: StepGraph, band: Band, compiled: Sequence[Node], together: Compiled) -> Band:
    """With its part of what compiling saves on a CPU around the operators that it replaces, where that is
    anything; as far as a band that is proved may reach."""
    if not graph.trace.on_cpu or not compiled:
        return band
    ns = _between_ns(graph, compiled, together) + _reused_ns(graph, compiled, together)
    whole = at_most(added([band, scaled(_AROUND, ns)]), graph.step_ns)
    most = WIDEST * band.low if band.low > 0 else float("inf")
    return at_most(whole, max(band.high, most))


def _between_ns(graph: StepGraph, compiled: Sequence[Node], together: Compiled) -> float:
    """What the host takes from one operator to the next of what is compiled, without the profiler."""
    ops, thread = graph.trace.ops, graph.threads
    ns = 0.0
    for before, node in pairwise(sorted(compiled, key=lambda each: each.place)):
        if before.place + 1 == node.place and before.phase == node.phase:
            gap_ns = int(ops.start_ns[node.row] - ops.end_ns[before.row])
            same = thread[before.place] == thread[node.place]
            ns += max(0, gap_ns) / together.times.get(node.place, 1) if same else 0.0
    whole_ns = graph.step_ns - sum(node.time_ns for node in graph.nodes)
    return ns * max(0.0, 1 - graph.slowed_ns / whole_ns) if whole_ns > 0 else 0.0


def _reused_ns(graph: StepGraph, compiled: Sequence[Node], together: Compiled) -> float:
    """What the system takes for pages of results that a compiled pass makes and frees: it hands the memory of
    one to the next (torch/_inductor/config.py, allow_buffer_reuse and inplace_buffers)."""
    inside = {node.place for node in compiled}
    freed = (node for node in compiled if node.place in graph.freed_in_step - together.replaced)
    return sum(
        paging_ns(graph, [node]) / together.times.get(node.place, 1)
        for node in freed
        if all(
            edge.consumer in inside and graph.nodes[edge.consumer].phase == node.phase
            for edge in graph.out_of.get(node.place, ())
        )
    )


def why_unsure(compiled: Sequence[Node]) -> str:
    """What a saving is not sure of that `beyond_change` has begin at zero."""
    return _COMPILED if compiled else _PLACED


def compiled_nodes(graph: StepGraph, nodes: Sequence[Node], where: str, snippet: str) -> Sequence[Node]:
    """All that the snippet compiles: the model's passes, the modules of these names, or these nodes alone.

    `where`: the module that is compiled, as a pattern where several alike are.
    """
    if "compile(" not in snippet:
        return ()
    if WHOLE_MODEL in snippet:
        return [node for node in graph.nodes if node.phase != "optimizer"]
    return [node for node in graph.nodes if is_in_any(node.module, where)] or nodes


def with_trial(
    graph: StepGraph, suggestion: Suggestion, group: Sequence[Match], where: str, times: float
) -> Suggestion:
    """With its price, and with what it makes slower, by the saving as it is told.

    `where`: one of the modules. `times`: by how much the saving was made smaller, beside others'.
    """
    nodes = [node for match in group for node in match.nodes]
    band = suggestion.saving_per_step_ns
    # Of what no roof tells the middle is half of the most: no time to count on.
    predicted = band if all(match.rests_on_roofs for match in group) else None
    slower = tuple(as_of(graph, text) for text in _slower(group, band, times * graph.stretch.repeats))
    return replace(
        suggestion,
        caveats=(*suggestion.caveats, *slower),
        cost_to_try=cost_to_try(graph, suggestion.rule, nodes, where, suggestion.snippet, predicted),
    )


def _slower(group: Sequence[Match], band: Band | None, times: float) -> Iterator[str]:
    """What the remedy makes slower, and by how much of the saving that is told."""
    names = dict.fromkeys(name for match in group for name in match.slower)
    if not names:
        return
    change = f"compiling makes {', '.join(names)} slower on a CPU"
    longer = -times * sum(match.lost.mid for match in group if match.lost)
    yield (
        f"{change}, by about {duration(longer)} per step: that is counted already"
        if band is not None
        else f"{change}: the step may become longer altogether"
    )
