"""What trying a suggestion means: what compiling changes beside what it replaces, and its price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from traceanalyzer.fusion.cost_to_try import WHOLE_MODEL, cost_to_try
from traceanalyzer.fusion.module_names import is_in, pattern
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.savings import WIDEST, possible
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.fusion.step_words import as_of
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.units import duration

# Of what is compiled on a CPU, by which its time changes beside the regions: measured, docs/savings.md.
_CHANGED_SHARE = 0.01
UNSURE = "compiling changes the time of what is compiled by about 1 %, and this may save less than that"


def beyond_change(
    graph: StepGraph, band: Band | None, nodes: Sequence[Node], where: str, snippet: str
) -> Band | None:
    """What is still sure where compiling a module changes more than its regions; from zero where nothing is.

    `where`: the module that is compiled, as a pattern where several alike are.
    """
    if not graph.trace.on_cpu or "compile(" not in snippet or band is None or band.low <= 0:
        return band
    compiled_ns = sum(node.time_ns for node in _compiled(graph, nodes, where, snippet))
    low = band.low - _CHANGED_SHARE * compiled_ns
    most = WIDEST * low
    return Band(low, band.mid, min(band.high, most)) if low > 0 and band.mid <= most else possible(band)


def _compiled(graph: StepGraph, nodes: Sequence[Node], where: str, snippet: str) -> Sequence[Node]:
    """All that the snippet compiles: the model's passes, the modules of these names, or these nodes alone."""
    if WHOLE_MODEL in snippet:
        return [node for node in graph.nodes if node.phase != "optimizer"]
    alike = "*" in where
    inside = [node for node in graph.nodes if is_in(_name(node, alike=alike), where)]
    return inside or nodes


def _name(node: Node, *, alike: bool) -> str:
    module = node.module or ""
    return pattern(module) if alike else module


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
