"""Seen: the device waits for launches: kernels end before the host has launched the next ones.

Instead: CUDA graphs, by `torch.compile(mode="reduce-overhead")` or `torch.cuda.graph`; fewer, larger
kernels; a larger batch.

Saves: the gaps between kernels. Faster kernels would only make them longer.

When not: the profiler itself slows the host, so that a run without it has shorter gaps; most of all where it
takes Python's stacks.

Left out: steps whose kernels CUDA graphs launch already; waits for a host that did something else than
launching; what another rule has a remedy for; steps at whose start the host is further ahead of the
device than the gaps are long; traces without steps that show a start-up. A graph cannot be captured over a
wait for the device, and holds for one set of shapes: where the host waits between the first and the last
launch of a step, or shapes change from step to step, the action says what to do first, and nothing is
proved. Nor is it of one step alone, where the step waits longer for data, where the host is ahead of the
device when a step begins, where stacks were recorded and no time without the profiler, or where steps without
the profiler were faster.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from statistics import median

import numpy as np

from traceanalyzer.fusion.idle_claims import claimed_idle
from traceanalyzer.fusion.rules.base import Match, Rule, everywhere, wait_evidence
from traceanalyzer.fusion.rules.synchronisation import waiting_operators
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.trace import UNLINKED, RecordKind
from traceanalyzer.records.units import duration, percent

_GAPS_SHARE = 0.3  # of the time in which the device works or waits for launches
_SEEN_SHARE = 0.05  # of the window, from which on it is said why gaps are left out
_MIN_BUSY_SHARE = 0.05
_LEAD_SHARE = 0.1  # of the gaps, that the host is ahead when a step begins
_FASTER_SHARE = 0.05  # of a step, that it is shorter without the profiler
_CAPTURE = "Capture the step in a graph"
_HOW = 'compile with mode="reduce-overhead", or use a larger batch'
_COUNTS = re.compile(r"\b\d+ ")
_REPLAYED_SHARE = 0.5  # of the kernels, from which on the step runs as graphs


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where launch gaps are a large part of what is not another wait."""
    if not graph.on_gpu or not graph.busy_ns or _hardly_works(graph) or is_replayed(graph):
        return
    launching, share = claimed_idle(graph, "launch_bound")
    working = graph.busy_ns / graph.step_count
    if launching < _GAPS_SHARE * max(1.0, launching + working) or _host_lead_ns(graph) > launching:
        return
    evidence = "; ".join((wait_evidence(graph, launching, share), *_doubts(graph, launching)))
    yield _match(graph, _saved(graph, launching), evidence, sure=not any(_doubts(graph, launching)))


def why_not(graph: StepGraph) -> str:
    """Why gaps that a reader sees in the step are left out; "" where there are none to speak of."""
    launching, share = claimed_idle(graph, "launch_bound")
    if not graph.on_gpu or share < _SEEN_SHARE:
        return ""
    if is_replayed(graph):
        return "launch gaps are left in the step, and graphs launch most of the kernels already"
    if _hardly_works(graph):
        return "launch gaps are in a trace that shows a start-up and names no steps"
    if _host_lead_ns(graph) > launching:
        lead = duration(_host_lead_ns(graph))
        return f"launch gaps are shorter than the {lead} that the host is ahead when a step begins"
    of_working = launching / (launching + graph.busy_ns / graph.step_count)
    return (
        f"launch gaps are {percent(of_working)} of the time in which the device works or waits for launches: "
        f"a graph of the step is suggested from {percent(_GAPS_SHARE, 0)} on"
    )


def _host_lead_ns(graph: StepGraph) -> float:
    """How far ahead of the device the host is when a step begins."""
    leads = [step.host_lead_ns for step in graph.judged.steps]
    return median(leads) if leads else 0.0


def _doubts(graph: StepGraph, launching: float) -> list[str]:
    """What speaks against gaps of this length in a run without the profiler."""
    doubts, lead, recording = [], _host_lead_ns(graph), graph.recording
    if lead > _LEAD_SHARE * launching:
        doubts.append(f"the host is {duration(lead)} ahead of the device when a step begins")
    without_profiler = recording.unprofiled_step_ns if recording else None
    if claimed_idle(graph, "data_loading")[0] > launching:
        doubts.append("the step waits longer for data, and may wait for that instead")
    if len(graph.trace.frames.start_ns) and not without_profiler:
        doubts.append("taking Python's stacks slowed the host while this was recorded")
    if recording and recording.unprofiled_step_ns and recording.profiled_step_ns:
        without, within = recording.unprofiled_step_ns, recording.profiled_step_ns
        if without < (1 - _FASTER_SHARE) * within:
            doubts.append(
                f"without the profiler a step takes {duration(without)}, with it {duration(within)}"
            )
    return doubts


def _match(graph: StepGraph, saved: Band | None, evidence: str, *, sure: bool) -> Match:
    """Nothing is proved of a step that cannot be captured as it is; which the action says."""
    first = []
    callers = waiting_operators(graph, *_launching(graph))
    if callers:
        evidence += f"; the host waits inside the step, which no graph can capture: {callers}"
        first.append(f"keep results on the device, without {_COUNTS.sub('', callers)}")
    if len(graph.judged.window.steps) == 1:
        evidence += "; one step does not say whether the next has the same shapes"
        sure = False
    if _shapes_change(graph):
        evidence += "; shapes change from step to step"
        first.append("give every step the same shapes")
    if not first and sure:
        return Match((), "T0", saved=saved, evidence=evidence, where=everywhere(graph))
    uncertain = Band(0.0, saved.mid, saved.high) if saved is not None else None
    if not first:
        return Match((), "T3", saved=uncertain, evidence=evidence, where=everywhere(graph))
    action = f"{_CAPTURE}: {_HOW}. That takes a step that can be captured: first {' and '.join(first)}."
    return Match((), "T3", saved=uncertain, evidence=evidence, where=everywhere(graph), action=action)


def _launching(graph: StepGraph) -> tuple[int, int]:
    """When the step launches its first and its last kernel: a wait before or behind both hinders no graph."""
    kernels, step = graph.trace.kernels, graph.step
    own = kernels.launch[(kernels.kind == RecordKind.KERNEL) & (kernels.launch >= 0)]
    starts = graph.trace.launches.start_ns[own]
    starts = starts[(starts >= step.start_ns) & (starts < step.end_ns)]
    return (int(starts.min()), int(starts.max())) if len(starts) else (0, 0)


def _shapes_change(graph: StepGraph) -> bool:
    """Whether no more than half of the window's steps call operators with the same dims."""
    ops, calls = graph.trace.ops, graph.trace.calls
    called = []
    for step in graph.judged.window.steps:
        inside = (ops.start_ns >= step.start_ns) & (ops.start_ns < step.end_ns) & (ops.call >= 0)
        called.append(frozenset(np.unique(ops.call[inside]).tolist()))
    if len(called) < 2:
        return False
    always = frozenset.intersection(*called)  # to look at their dims would take parsing each of them
    alike = Counter(frozenset(calls[row].shapes for row in rows - always) for rows in called)
    if 2 * max(alike.values()) > alike.total():
        return False
    common = frozenset(calls[row].shapes for row in always)
    alike = Counter(frozenset(calls[row].shapes for row in rows - always) - common for rows in called)
    return 2 * max(alike.values()) <= alike.total()


def _saved(graph: StepGraph, ns: float) -> Band | None:
    """What graphs leave out of the gaps; None where the time between steps would count as gaps."""
    if not graph.has_steps:
        return None
    recording = graph.recording
    if recording and recording.unprofiled_step_ns:
        ns = min(ns, max(0.0, recording.unprofiled_step_ns - graph.busy_ns / graph.step_count))
    return Band(0.4 * ns, 0.7 * ns, 0.95 * ns)


def _hardly_works(graph: StepGraph) -> bool:
    """A trace without steps that shows a start-up, or a few kernels on their own, says nothing of a step."""
    return not graph.has_steps and graph.busy_ns < _MIN_BUSY_SHARE * graph.window_ns


def is_replayed(graph: StepGraph) -> bool:
    """Whether graphs launch most of the kernels."""
    kernels = graph.trace.kernels
    counted = graph.judged.times.inside & (kernels.kind == RecordKind.KERNEL)
    by_graphs = counted & (kernels.unlinked == UNLINKED.index("cuda_graph"))
    return bool(by_graphs.sum() > _REPLAYED_SHARE * counted.sum())


RULE = Rule(
    "launch_bound", __doc__ or "", find,
    title="The device waits for the host to launch kernels",
    action=f"{_CAPTURE}: {_HOW}.",
    snippet="model = torch.compile(model, mode=\"reduce-overhead\")",
    caveats=("shapes must not change, and nothing in the step may wait for results on the host",
             "the profiler slows the host: without it the gaps are shorter"),
    needs=("gpu", "launches"),
    why_not=why_not,
    docs="https://docs.pytorch.org/docs/stable/notes/cuda.html",
)  # fmt: skip
