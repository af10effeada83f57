"""What trying a suggestion means: what compiling changes beside what it replaces, and its price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.fusion.cost_to_try import cost_to_try
from traceanalyzer.fusion.idle_claims import idle_claims
from traceanalyzer.fusion.module_names import module_calls
from traceanalyzer.fusion.pages import paging_ns
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.savings import WIDEST, added, at_most, possible, scaled
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.fusion.step_words import as_of
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.trace import Ints, OpKind, nearest
from traceanalyzer.records.units import duration
from traceanalyzer.records.vocabulary import IDLE_RULES

# Of what is compiled on a CPU, by which its time changes beside the regions: measured, docs/savings.md.
_CHANGED_SHARE = 0.01
# Of a CPU's step, by which it differs from one process to the next, which has its tensors elsewhere: nine
# models in which a change did next to nothing took from 5 % less to 6 % more (docs/savings.md). With WIDEST
# a saving is proved from about 6 % on.
_PLACED_SHARE = 0.015
# Of what the host takes between operators that are compiled, with the profiler in it, and the system for
# pages of what they hand on: nothing where calls and blocks stay as they are, or nearly all.
_AROUND = Band(0.0, 0.4, 0.9)
_OF_CALLS = (
    "launch_bound",
    "host_work",
)  # rules of idle time between calls, of which no rule has advice there
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


def with_surroundings(
    graph: StepGraph, band: Band, compiled: Sequence[Node], path: str, together: Compiled
) -> Band:
    """With its part of what compiling saves on a CPU around the operators that it replaces, where that is
    anything; as far as a band that is proved may reach. `path`: as `compiled_path` has it."""
    if not graph.trace.on_cpu or not compiled:
        return band
    ns = _between_ns(graph, compiled, path, together) + _reused_ns(graph, compiled, together)
    whole = at_most(added([band, scaled(_AROUND, ns)]), graph.step_ns)
    most = WIDEST * band.low if band.low > 0 else float("inf")
    return at_most(whole, max(band.high, most))


def _between_ns(graph: StepGraph, compiled: Sequence[Node], path: str, together: Compiled) -> float:
    """What the host takes from one operator to the next of one call that is compiled, without the profiler,
    and without what it waits for: a batch, or another's remedy."""
    ops, thread = graph.trace.ops, graph.threads
    calls = _calls_of(graph, compiled, path)
    waited = graph.once(_waited)
    ns = 0.0
    for before, node in pairwise(sorted(compiled, key=lambda each: each.place)):
        call = calls[node.place]
        same = call >= 0 and call == calls[before.place] and thread[before.place] == thread[node.place]
        if same and before.place + 1 == node.place and before.phase == node.phase:
            ends = int(ops.end_ns[before.row]), int(ops.start_ns[node.row])
            gap_ns = ends[1] - ends[0] - waited.within(*ends)
            ns += max(0, gap_ns) / together.times.get(node.place, 1)
    whole_ns = graph.step_ns - sum(node.time_ns for node in graph.nodes)
    return ns * max(0.0, 1 - graph.slowed_ns / whole_ns) if whole_ns > 0 else 0.0


def _calls_of(graph: StepGraph, compiled: Sequence[Node], path: str) -> Sequence[int]:
    """Of each node which call it runs in of what is compiled; -1: of none.

    Where the place names no module that is called, the call of the outermost one; where the trace annotates
    no calls, whatever annotation encloses it.
    """
    for each in dict.fromkeys((path, "")):
        calls = module_calls(graph, each)
        if any(calls[node.place] >= 0 for node in compiled):
            return calls
    ops = graph.trace.ops
    around = nearest(ops.parent, ops.kind == OpKind.ANNOTATION)
    # Outside of all annotations is one place too: that of a step without a name.
    return [len(ops) if row < 0 else row for row in around[[node.row for node in graph.nodes]].tolist()]


class _Waited(msgspec.Struct, frozen=True, eq=False):
    """Idle time that the remedies of other rules may take away, summed up to its ends."""

    at_ns: Ints
    total_ns: Ints

    def within(self, start: int, end: int) -> float:
        if not len(self.at_ns):
            return 0.0
        before, after = np.interp([start, end], self.at_ns, self.total_ns)
        return float(after - before)


def _waited(graph: StepGraph) -> _Waited:
    idle, claims = graph.judged.idle, idle_claims(graph)
    theirs = np.zeros(len(idle.start_ns), bool)
    for rule in IDLE_RULES:
        if rule not in _OF_CALLS:
            theirs |= claims.ns(rule) > 0
    start, end = idle.start_ns[theirs], idle.end_ns[theirs]
    total = np.cumsum(end - start)
    at = np.stack((start, end), axis=1).ravel()
    return _Waited(at, np.stack((total - (end - start), total), axis=1).ravel())


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
