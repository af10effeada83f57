"""What a report promises of places that are tried by themselves: their part of a suggestion's saving."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from traceanalyzer.fusion.alike import alike
from traceanalyzer.fusion.module_compile import compiled_together
from traceanalyzer.fusion.promise import promise
from traceanalyzer.fusion.rules import Match, Rule
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied, first_op
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.suggestion import Suggestions


class PlacePromise(msgspec.Struct, frozen=True):
    """A suggestion, and what it predicts of the places that are tried."""

    suggestion: Suggestion
    share: Band | None  # of their time, that is saved; None: of them alone nothing is predicted
    part: Band | None = None  # of the suggestion's saving, that they have
    places: int = 1  # that are tried, of all that the suggestion counts


def place_promise(
    graph: StepGraph, rule: Rule, tried: Sequence[Match], suggestions: Suggestions
) -> PlacePromise | None:
    """The one suggestion of `rule` that `tried` are places of; None where the report has none."""
    places = {node.place for match in tried for node in match.nodes}
    matched = [each for of, each in compiled_together(graph, list(applied(graph))) if of.name == rule.name]
    groups = alike(rule, matched[0]) if matched else []
    group = next((each for each in groups if any(_within(match, places) for match in each)), None)
    if group is None:
        return None
    begins = first_op(node for match in group for node in match.nodes)
    listed = zip(suggestions.found or (), suggestions.first_op, strict=True) if suggestions.found else ()
    suggestion = next((each for each, op in listed if each.rule == rule.name and op == begins), None)
    if suggestion is None:
        return None
    these = [match for match in group if _within(match, places)]
    part = _part(graph, these, group, suggestion) if len(these) == len(tried) else None
    share = _share(graph, part, recorded_ns(graph, these)) if part else None
    return PlacePromise(suggestion, share, part if share else None, len(these))


def recorded_ns(graph: StepGraph, tried: Sequence[Match]) -> float:
    """Their time as predictions have it: without what the profiler added, and with what the host takes
    between the operators where that goes too."""
    between = sum(match.between.high for match in tried if match.between is not None)
    return between + sum(graph.undisturbed_ns(match.nodes) for match in tried)


def _within(match: Match, places: set[int]) -> bool:
    return bool(match.nodes) and {node.place for node in match.nodes} <= places


def _share(graph: StepGraph, part: Band, time_ns: float) -> Band | None:
    """Of `time_ns`, which is that of one of the alike stretches of a step."""
    if not time_ns:
        return None
    every_ns = time_ns * graph.stretch.repeats
    return Band(*(min(1.0, end / every_ns) for end in (part.low, part.mid, part.high)))


def _part(
    graph: StepGraph, tried: Sequence[Match], group: Sequence[Match], suggestion: Suggestion
) -> Band | None:
    """Of the saving that is told they have the part that they have of what is predicted of all."""
    tier = max(match.tier for match in group)
    saving = suggestion.busy_saving_ns or suggestion.saving_per_step_ns
    these, every = promise(graph, tried, tier), promise(graph, group, tier)
    if saving is None or these is None or every is None:
        return None
    ends = zip(
        (saving.low, saving.mid, saving.high), (these.low, these.mid, these.high),
        (every.low, every.mid, every.high), strict=True,
    )  # fmt: skip
    return Band(*(end * of / whole if whole else 0.0 for end, of, whole in ends))
