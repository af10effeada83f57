"""How short the step could become: with what is proved, with all suggestions, and at the roofs.

No kernel and no idle nanosecond is promised by two suggestions, so that savings add up, with one exception:
where the host sets the pace, faster kernels only make the device wait longer. There, savings of kernels count
as far as other suggestions remove what they would wait for, and none of them is proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from traceanalyzer.fusion.idle_claims import IDLE_RULES
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Band, IdleCause, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.suggestion import Headroom

_PACE: tuple[IdleCause, ...] = ("launch_gap", "data_loading", "host_work")
_OF_PACE = ("launch_bound", "data_loading", "host_work")  # rules that shorten them
_PACED_SHARE = 0.3  # of the window, that the device waits for a host that is busy: it sets the pace
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
    paced_ns = sum(judged.idle_ns(cause) for cause in _PACE) / judged.step_count
    if paced_ns < _PACED_SHARE * now_ns:
        paced_ns = 0.0
    proved = _left(now_ns, [each for each in sure if not paced_ns or each.rule in IDLE_RULES], paced_ns)
    everything = _left(now_ns, counted, paced_ns)
    everything = Band(
        min(everything.low, proved.low), min(everything.mid, proved.mid), min(everything.high, proved.high)
    )
    least, open_ns = _at_roofs(judged)
    replaced = sum(saved_at_roofs(graph, group) for _, group in mine) if graph is not None else 0.0
    at_roofs = min(max(0.0, least - replaced), everything.low)
    return Headroom(
        now_ns=now_ns,
        proved_ns=proved,
        all_ns=everything,
        at_roofs_ns=int(at_roofs),
        not_bounded_ns=round(open_ns),
    )


def _left(now_ns: int, counted: Iterable[Suggestion], paced_ns: float) -> Band:
    """What remains of the step; low is the shortest."""
    idle, pace, busy = _NOTHING, _NOTHING, _NOTHING
    for each in counted:
        band = each.saving_per_step_ns or _NOTHING
        if each.rule in IDLE_RULES:
            idle = _plus(idle, band)
        else:
            busy = _plus(busy, band)
        if each.rule in _OF_PACE:
            pace = _plus(pace, band)

    def left(waited: float, of_pace: float, kernels: float) -> float:
        share = min(1.0, of_pace / paced_ns) if paced_ns else 1.0
        return max(0.0, now_ns - waited - share * kernels)

    return Band(
        left(idle.high, pace.high, busy.high),
        left(idle.mid, pace.mid, busy.mid),
        left(idle.low, pace.low, busy.low),
    )


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
    return graph.stretch.repeats * sum(
        max(0.0, _of_nodes(graph, match.nodes) - _of_replacement(graph, match)) for match in group
    )


def _of_nodes(graph: StepGraph, nodes: Iterable[Node]) -> float:
    least = 0.0
    for node in nodes:
        row = graph.row_of(node)
        efficiency = row.efficiency if row and row.efficiency is not None else 1.0
        least += node.time_ns * graph.attributed_share((node,)) * min(1.0, efficiency)
    return least


def _of_replacement(graph: StepGraph, match: Match) -> float:
    """As long as before where nothing is known of what would remain."""
    after, device = match.after, graph.device
    if after is None or not device.bandwidth_bytes_per_s:
        return float("inf")
    peaks = [(device.peak("matrix", of) or device.peak("vector", of), flops) for of, flops in after.matrix]
    if any(not peak for peak, _ in peaks):
        return float("inf")
    computing = sum(flops / peak for peak, flops in peaks if peak)
    return 1e9 * max(after.bytes / device.bandwidth_bytes_per_s, computing)
