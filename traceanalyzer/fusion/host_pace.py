"""What a host that sets the pace of a step lets faster kernels save of it."""

from __future__ import annotations

import re

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.pace import paced_ns
from traceanalyzer.records.trace import distinct, passes
from traceanalyzer.records.vocabulary import IDLE_RULES
from traceanalyzer.roofline.attribution import clip
from traceanalyzer.roofline.intervals import Intervals, disjoint, without

# cudaMemcpy and hipMemcpy to pageable memory return when the copy is done: CUDA Runtime API, "API
# synchronization behavior".
_WAITING = re.compile("Synchronize|Memcpy(?!Peer)")


class HostPace(msgspec.Struct, frozen=True):
    """How long the device waits for the host in a step, and the host for the device."""

    paced_ns: float  # in which the device waits for a busy host that sets the pace; 0: it does not
    awaited_ns: float  # in which the host waits for the busy device
    shortened: bool = True  # count what suggestions take off `paced_ns`

    def saved(self, kernels_ns: float, of_pace_ns: float) -> float:
        """Of what kernels save, what the step does; `of_pace_ns`: what suggestions take off `paced_ns`."""
        if not self.paced_ns:
            return kernels_ns
        at_once = min(kernels_ns, self.awaited_ns)
        share = min(1.0, of_pace_ns / self.paced_ns) if self.shortened else 0.0
        return at_once + share * (kernels_ns - at_once)


def host_pace(graph: StepGraph) -> HostPace:
    """Worked out once a graph."""
    return graph.once(_of_graph)


def pace_of(judged: Judged) -> HostPace:
    """Of the window's mean step."""
    idle, window_ns, count = judged.time.idle_by_cause, judged.window_ns, judged.step_count
    waited = paced_ns(judged.device.kind, idle, window_ns)
    return HostPace(waited / count, _awaited_ns(judged) / count if waited else 0.0)


def at_pace(graph: StepGraph, suggestion: Suggestion) -> Suggestion:
    """With what faster kernels save of the step by themselves, and of busy time where that is more."""
    band, pace, share = suggestion.saving_per_step_ns, host_pace(graph), suggestion.share_of_step
    if band is None or not pace.paced_ns or suggestion.rule in IDLE_RULES:
        return suggestion
    through = Band(*(pace.saved(end, 0.0) for end in (band.low, band.mid, band.high)))
    if through == band:
        return suggestion
    part = through.mid / band.mid if band.mid else 0.0
    return replace(
        suggestion,
        saving_per_step_ns=through,
        busy_saving_ns=band,
        share_of_step=share * part if share is not None else None,
    )


def _of_graph(graph: StepGraph) -> HostPace:
    return pace_of(graph.judged)


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
