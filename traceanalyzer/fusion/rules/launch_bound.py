"""Seen: the device waits for launches: kernels end before the host has launched the next ones.

Instead: CUDA graphs, by `torch.compile(mode="reduce-overhead")` or `torch.cuda.graph`; fewer, larger
kernels; a larger batch.

Saves: the gaps between kernels. Faster kernels would only make them longer.

When not: shapes change from step to step, or the step looks at results on the host; the profiler itself
slows the host, so that a run without it has shorter gaps.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, steps, told_wait, waited
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band

_SHARE = 0.3  # of the window
_LEAST_BUSY = 0.05


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where launch gaps are a large part of the window."""
    ns, share = waited(graph, "launch_gap")
    if not graph.on_gpu or share < _SHARE or _hardly_works(graph):
        return
    saved = None
    if graph.has_steps:  # else the time between steps would count as gaps
        saved = Band(0.4 * ns, 0.7 * ns, 0.95 * ns)
        recording = graph.recording
        if recording and recording.unprofiled_step_ns:
            busy = graph.busy_ns / steps(graph)
            most = max(0.0, recording.unprofiled_step_ns - busy)
            saved = Band(min(saved.low, 0.4 * most), min(saved.mid, 0.7 * most), min(saved.high, 0.95 * most))
    yield Match((), "T0", saved=saved, evidence=told_wait(ns, share), where="the whole step")


def _hardly_works(graph: StepGraph) -> bool:
    """A trace without steps that shows a start-up, or a few kernels on their own, tells nothing of a step."""
    return not graph.has_steps and graph.busy_ns < _LEAST_BUSY * graph.window_ns


RULE = Rule(
    "launch_bound", __doc__ or "", find,
    title="The device waits for the host to launch kernels",
    action="Capture the step in a graph: compile with mode=\"reduce-overhead\", or a larger batch.",
    snippet="model = torch.compile(model, mode=\"reduce-overhead\")",
    caveats=("shapes must not change, and nothing in the step may wait for results on the host",
             "the profiler slows the host: without it the gaps are shorter"),
    docs="https://docs.pytorch.org/docs/stable/notes/cuda.html",
)  # fmt: skip
