"""What the evidence promises of a saving: proved, or only possible."""

from __future__ import annotations

from collections.abc import Sequence

from traceanalyzer.fusion.pages import perhaps_kept_ns
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.savings import added, at_most, possible, proved, saving, scaled
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records import Band, Tier
from traceanalyzer.roofline.far_below import far_below

ALONE_SHARE = 0.9
"""Of the time of kernels: if less is attributed to them, what they overlap with may set the pace."""


def promise(graph: StepGraph, group: Sequence[Match], tier: Tier) -> Band | None:
    """What the evidence promises of the saving, never more than the step; None of next to nothing.

    Of kernels that overlap with others only the attributed part can shorten the step; where that is much
    less than they take, perhaps nothing, for what they overlap with may set the pace.
    """
    band = _band(graph, group)
    if band is None:
        return None
    nodes = [node for match in group for node in match.nodes]
    undisturbed = sum(graph.undisturbed_ns(match.nodes) for match in group)
    undisturbed += sum(match.between.high for match in group if match.between is not None)
    unsure = tier == "T3" or is_bounded(group) or graph.perhaps_slowed_ns(nodes) > band.mid - band.low
    unsure = unsure or rests_on_pages(graph, group) or rests_on_roofs_out_of_reach(graph, group)
    promised = possible(band) if unsure else proved(band, undisturbed)
    if promised is None:
        return None
    if disturbed(graph) > 1 and any(match.rests_on_roofs for match in group):
        promised = Band(0.0, promised.mid, min(undisturbed, disturbed(graph) * promised.high))
    share = graph.attributed_share(nodes)
    exposed = scaled(promised, share)
    return at_most(exposed if share >= ALONE_SHARE else Band(0.0, exposed.mid, exposed.high), graph.step_ns)


def is_bounded(group: Sequence[Match]) -> bool:
    """Whether its rule knows no more than how much it may save at most."""
    return all(match.saved is not None and match.saved.low <= 0 for match in group)


def rests_on_roofs_out_of_reach(graph: StepGraph, group: Sequence[Match]) -> bool:
    """Whether it is what roofs allow, where something else makes all that is large slow."""
    return any(match.rests_on_roofs for match in group) and graph.once(_no_roof_limits)


def _no_roof_limits(graph: StepGraph) -> bool:
    """Of all steps, as the report says it: where one of several is shown, its rows are those of all."""
    steps = graph.over_all_steps
    return far_below(steps.rows, steps.busy_ns, steps.floor_ns) is not None


def disturbed(graph: StepGraph) -> float:
    """How much higher the roofs may be, as many others ran when they were measured; 1 where they did not."""
    roofs = graph.recording.cpu_roofs if graph.recording and graph.device.how == "calibrated" else None
    return 1 + roofs.load / (roofs.threads or 1) if roofs is not None and roofs.load is not None else 1.0


def rests_on_pages(graph: StepGraph, group: Sequence[Match]) -> bool:
    """Whether nothing is sure to be saved in a process that keeps the pages of its smaller blocks."""
    if not graph.trace.on_cpu or not perhaps_kept_ns(
        graph, (node for match in group for node in match.nodes)
    ):
        return False
    band, kept = _band(graph, group), _band(graph, group, pages_kept=True)
    return band is not None and kept is not None and kept.low <= 0 < band.low


def _band(graph: StepGraph, group: Sequence[Match], *, pages_kept: bool = False) -> Band | None:
    """None where no time can be predicted for any of them."""
    bands = []
    for match in group:
        band = match.saved
        if band is None and match.after is not None:
            time_ns = graph.undisturbed_ns(match.nodes)
            time_ns -= perhaps_kept_ns(graph, match.nodes) if pages_kept else 0.0
            band = saving(time_ns, match.after, graph.device, graph.floor_ns)
        if band is None:
            return None
        bands += [band, *(part for part in (match.lost, match.between) if part is not None)]
    return added(bands)
