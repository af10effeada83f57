"""How short the step could become: with what is proved, with all suggestions, and at the roofs.

No kernel and no idle nanosecond is promised by two suggestions, so that savings add up, with two exceptions:
where the host sets the pace, faster kernels only make the device wait longer. There, savings of kernels count
as far as the host waited for them (taken to be spread as the kernels are), and beyond that as far as other
suggestions remove what the device would wait for, which is never proved. And on a CPU the time in which pages
come anew, and in which a convolution converts its images, is part of operators that others make faster:
neither is proved, and together they leave what the roofs ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Band, IdleCause, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.suggestion import Headroom
from traceanalyzer.records.trace import distinct, passes
from traceanalyzer.records.vocabulary import IDLE_RULES
from traceanalyzer.roofline.attribution import clip
from traceanalyzer.roofline.intervals import Intervals, disjoint, without

_PACE: tuple[IdleCause, ...] = ("launch_gap", "data_loading", "host_work")
_OF_PACE = ("launch_bound", "data_loading", "host_work")  # rules that shorten them
_PACED_SHARE = 0.3  # of the window, that the device waits for a host that is busy: it sets the pace
# cudaMemcpy and hipMemcpy to pageable memory return when the copy is done: CUDA Runtime API, "API
# synchronization behavior".
_WAITING = re.compile("Synchronize|Memcpy(?!Peer)")
_NOTHING = Band(0.0, 0.0, 0.0)


class Pace(msgspec.Struct, frozen=True):
    """What the host lets faster kernels save."""

    paced_ns: float  # per step, in which the device waits for a busy host that sets the pace; 0: it does not
    awaited_ns: float  # per step, in which the host waits for the busy device
    shortened: bool = True  # count what suggestions take off `paced_ns`

    def saved(self, kernels_ns: float, of_pace_ns: float) -> float:
        """Of what kernels save, what the step does."""
        if not self.paced_ns:
            return kernels_ns
        at_once = min(kernels_ns, self.awaited_ns)
        share = min(1.0, of_pace_ns / self.paced_ns) if self.shortened else 0.0
        return at_once + share * (kernels_ns - at_once)


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
    awaited_ns = _awaited_ns(judged) / judged.step_count
    proved = _left(now_ns, sure, Pace(paced_ns, awaited_ns, shortened=False))
    everything = _left(now_ns, counted, Pace(paced_ns, awaited_ns))
    least, open_ns = _at_roofs(judged)
    replaced = sum(saved_at_roofs(graph, group) for _, group in mine) if graph is not None else 0.0
    at_roofs = min(max(0.0, least - replaced), proved.low)
    everything = _between(at_roofs, everything, proved)
    return Headroom(
        now_ns=now_ns,
        proved_ns=proved,
        all_ns=everything,
        at_roofs_ns=int(at_roofs),
        not_bounded_ns=round(open_ns),
    )


def _between(shortest: float, band: Band, longest: Band) -> Band:
    """No end shorter than the roofs allow, for likely savings may share time, nor longer than proved."""
    low, mid, high = (
        min(max(shortest, end), most)
        for end, most in ((band.low, longest.low), (band.mid, longest.mid), (band.high, longest.high))
    )
    return Band(low, mid, high)


def _awaited_ns(judged: Judged) -> int:
    """In calls that return when the device has done its work, while it is at work."""
    trace = judged.priced.trace
    calls, used = trace.launches, trace.kernels.launch
    threads = distinct(calls.thread[used[used >= 0]])
    waits = passes(trace.names, calls.name, _WAITING.search) & np.isin(calls.thread, threads)
    start, end = clip(
        calls.start_ns[waits], calls.end_ns[waits], (judged.window.start_ns, judged.window.end_ns)
    )
    in_calls = disjoint(start, end, np.zeros(len(start), np.int32))
    idle = Intervals(judged.idle.start_ns, judged.idle.end_ns, judged.idle.name)
    return int(without(in_calls, idle).length_ns.sum())


def _left(now_ns: int, counted: Iterable[Suggestion], host: Pace) -> Band:
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
        return max(0.0, now_ns - waited - host.saved(kernels, of_pace))

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
