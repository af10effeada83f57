"""How short the step could become: with what is proved, with all suggestions, and at the roofs.

No kernel and no idle nanosecond is promised by two suggestions, so that savings add up, with two exceptions:
where the host sets the pace, faster kernels only make the device wait longer. There, savings of kernels count
as far as the host waited for them (taken to be spread as the kernels are), and beyond that as far as other
suggestions remove what the device would wait for, which is never proved. And on a CPU the time in which pages
come anew, and in which a convolution converts its images, is part of operators that others make faster:
neither is proved, and together they leave what the roofs ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from traceanalyzer.fusion.host_pace import HostPace, host_pace, pace_of
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.savings import Work
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.pace import PACE_RULES
from traceanalyzer.records.suggestion import Headroom
from traceanalyzer.records.vocabulary import IDLE_RULES

# Rules whose saving is time of rows without a roof, which they hide behind other work.
_OF_UNBOUNDED_TIME = ("exposed_communication",)
_NOTHING = Band(0.0, 0.0, 0.0)


def headroom(
    judged: Judged,
    graph: StepGraph | None = None,
    listed: Iterable[tuple[Suggestion, Sequence[Match]]] = (),
) -> Headroom:
    """Of the window's mean step. Savings that are of other steps than the graph's do not count."""
    mine = [pair for pair in listed if graph is not None and pair[0].saving_of == graph.saving_of]
    counted = [each for each, _ in mine]
    now_ns = round(judged.window_ns / judged.step_count)
    sure = [each for each in counted if each.saving_per_step_ns and each.saving_per_step_ns.low > 0]
    pace = host_pace(graph) if graph is not None else pace_of(judged)
    proved = _left(now_ns, sure, replace(pace, shortened=False))
    everything = _left(now_ns, counted, pace)
    least, open_ns = _at_roofs(judged)
    replaced = sum(saved_at_roofs(graph, group) for _, group in mine) if graph is not None else 0.0
    hidden = min(open_ns, sum(_most(each) for each in counted if each.rule in _OF_UNBOUNDED_TIME))
    at_roofs = min(max(0.0, least - replaced - hidden), proved.low)
    everything = _between(at_roofs, everything, proved)
    return Headroom(
        now_ns=now_ns,
        proved_ns=proved,
        all_ns=everything,
        at_roofs_ns=int(at_roofs),
        not_bounded_ns=round(min(open_ns - hidden, at_roofs)),
    )


def _between(shortest: float, band: Band, longest: Band) -> Band:
    """No end shorter than the roofs allow, for likely savings may share time, nor longer than proved."""
    low, mid, high = (
        min(max(shortest, end), most)
        for end, most in ((band.low, longest.low), (band.mid, longest.mid), (band.high, longest.high))
    )
    return Band(low, mid, high)


def _left(now_ns: int, counted: Iterable[Suggestion], host: HostPace) -> Band:
    """What remains of the step; low is the shortest."""
    idle, pace, busy = _NOTHING, _NOTHING, _NOTHING
    for each in counted:
        band = each.busy_saving_ns or each.saving_per_step_ns or _NOTHING
        if each.rule in IDLE_RULES:
            idle = _plus(idle, band)
        else:
            busy = _plus(busy, band)
        if each.rule in PACE_RULES:
            pace = _plus(pace, band)

    def left(waited: float, of_pace: float, kernels: float) -> float:
        return max(0.0, now_ns - waited - host.saved(kernels, of_pace))

    return Band(
        left(idle.high, pace.high, busy.high),
        left(idle.mid, pace.mid, busy.mid),
        left(idle.low, pace.low, busy.low),
    )


def _most(suggestion: Suggestion) -> float:
    band = suggestion.busy_saving_ns or suggestion.saving_per_step_ns
    return band.high if band else 0.0


def _plus(band: Band, other: Band) -> Band:
    return Band(band.low + other.low, band.mid + other.mid, band.high + other.high)


def _at_roofs(judged: Judged) -> tuple[float, float]:
    """Busy ns per step if no row took longer than its roof; ns among them of rows without one."""
    least = open_ns = 0.0
    for row in judged.rows:
        least += row.attributed_ns * min(1.0, 1.0 if row.efficiency is None else row.efficiency)
        open_ns += row.attributed_ns if row.efficiency is None else 0
    return least / judged.step_count, open_ns / judged.step_count


def saved_at_roofs(graph: StepGraph, group: Iterable[Match]) -> float:
    """By how much less time the replacements need at their roofs than what they replace at its, in ns."""
    return graph.stretch.repeats * sum(_saved_of(graph, match) for match in group)


def _saved_of(graph: StepGraph, match: Match) -> float:
    """Where the work that is left is not known, the part of it that the change takes of the time at most."""
    at_roof = _of_nodes(graph, match.nodes)
    if match.after is not None:
        return max(0.0, at_roof - _of_replacement(graph, match.after))
    time_ns = sum(node.time_ns for node in match.nodes)
    if match.saved is None or match.same_work or not time_ns:
        return 0.0
    return at_roof * min(1.0, max(0.0, match.saved.high) / time_ns)


def _of_nodes(graph: StepGraph, nodes: Iterable[Node]) -> float:
    least = 0.0
    for node in nodes:
        row = graph.row_of(node)
        efficiency = row.efficiency if row and row.efficiency is not None else 1.0
        least += node.time_ns * graph.attributed_share((node,)) * min(1.0, efficiency)
    return least


def _of_replacement(graph: StepGraph, after: Work) -> float:
    """As long as before where nothing is known of what would remain."""
    device = graph.device
    if not device.bandwidth_bytes_per_s:
        return float("inf")
    peaks = [(device.peak("matrix", of) or device.peak("vector", of), flops) for of, flops in after.matrix]
    if any(not peak for peak, _ in peaks):
        return float("inf")
    computing = sum(flops / peak for peak, flops in peaks if peak)
    return 1e9 * max(after.bytes / device.bandwidth_bytes_per_s, computing)
