"""Notices about how a trace was linked: unlinked time, lost records, clocks that differ."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import UNLINKED, OpKind, Trace, passes
from traceanalyzer.records.units import duration, percent
from traceanalyzer.trace.linking.kinds import is_graph_launch
from traceanalyzer.trace.linking.steps import within
from traceanalyzer.trace.linking.unrecorded import starts_kernels, unread_notice, unrecorded

_REPORTED_SHARE = 0.05  # share of GPU time, or of launches
_SLOWED = 1.3  # times the step without the profiler
_SHORTER = 0.05  # of a step, by which it is shorter under the profiler than clocks and caches make it
_MOST = 0.5  # of the graph launches, or of the records
_CLOCKS_NS = 5_000  # by which the clocks of host and device commonly differ
_FEW = 20  # launches without a record that are not reported
_UNLINKED_TEXT = {
    "no_correlation": "records carry no correlation id; their launches are unknown",
    "no_launch": "records were queued before the recording began; their launches are unknown",
    "no_op": "records were launched outside of any recorded operator",
    "cuda_graph": "records were launched by replaying a captured graph, which records no operators",
    "compiled_region": "records were launched by a compiled region without an operator of their own",
}


def link_warnings(trace: Trace, *, gpu_listed: bool, unread: Mapping[str, int]) -> tuple[Notice, ...]:
    """Warnings of one trace, in a fixed order."""
    if trace.device_lost:
        return (*unrecorded(trace, unread), *_unlike_unprofiled(trace))
    if trace.on_cpu:
        if not gpu_listed:
            return _unlike_unprofiled(trace)
        why = (
            "the file ends before its rows"
            if trace.is_cut_off
            else "ProfilerActivity.CUDA or CUPTI was missing"
        )
        text = (
            "the trace names a GPU but holds none of its activity: this is the time of the CPU side, not the "
            f"GPU's ({why})"
        )
        return (Notice("gpu_not_captured", text), *_unlike_unprofiled(trace))
    return (
        *unread_notice(unread),
        *_unlinked(trace),
        *_lost(trace),
        *_early(trace),
        *_idle_steps(trace),
        *_unlike_unprofiled(trace),
    )


def _unlike_unprofiled(trace: Trace) -> tuple[Notice, ...]:
    """Steps that took longer or less than those without the profiler, by the collector's own timings.

    Compared are steps of the same sizes. The profiler makes no step shorter: what does ran beside it.
    """
    recording = trace.recording
    if recording is None:
        return ()
    like = [step for step in recording.steps or () if step.unprofiled_ns]
    if recording.steps is not None:
        recording = recording.of_steps([step.name for step in like])
    within_ns, without_ns = recording.profiled_step_ns, recording.unprofiled_step_ns
    if not within_ns or not without_ns:
        return ()
    within, without = duration(within_ns), duration(without_ns)
    took = f"a step took {within} under the profiler, {'one as large ' if like else ''}{without} without it"
    if within_ns > _SLOWED * without_ns:
        return (Notice("slowed_by_profiler", f"{took}: slowed operators look too large"),)
    lengths = [step.profiled_ns for step in like] or [within_ns]
    less_ns = without_ns - within_ns
    if less_ns <= max(_SHORTER * without_ns, max(lengths) - min(lengths)):
        return ()
    text = f"{took}, and the profiler makes none shorter: other work on the machine, or a change of clocks, "
    return (
        Notice("shorter_under_profiler", f"{text}makes times uncertain by {percent(less_ns / without_ns)}"),
    )


def _unlinked(trace: Trace) -> list[Notice]:
    """Why records have no link op, where it concerns over 5 % of GPU time."""
    kernels = trace.kernels
    total = int(kernels.duration_ns.sum())
    notices = []
    for code, reason in enumerate(UNLINKED):
        rows = kernels.unlinked == code
        time = int(kernels.duration_ns[rows].sum())
        if total and time > _REPORTED_SHARE * total:
            text = f"{percent(time / total)} of GPU time: {_UNLINKED_TEXT[reason]}"
            notices.append(Notice(f"unlinked_{reason}", text, int(rows.sum())))
    if total and (trace.ops.kind == OpKind.OP).any() and not (kernels.op >= 0).any():
        text = "operators were recorded, and none of the GPU's records leads to one of them"
        notices.append(Notice("operators_unlinked", text, len(kernels)))
    return notices


def _lost(trace: Trace) -> list[Notice]:
    """Launches whose kernel is not in the trace: its head or tail was lost, or a buffer ran over."""
    launches = trace.launches
    starts = starts_kernels(trace) & (launches.correlation >= 0)
    lost = starts.copy()
    lost[trace.kernels.launch[trace.kernels.launch >= 0]] = False
    graphs = starts & passes(trace.names, launches.name, is_graph_launch)
    graph_count, graphs_lost = int(graphs.sum()), int((graphs & lost).sum())
    notices = []
    if graphs_lost > _MOST * graph_count:
        text = (
            f"of {graph_count} graph launches {graphs_lost} have no GPU record: what the graphs ran is "
            "missing, busy time is too low and idle time too high by it"
        )
        notices.append(Notice("graphs_under_recorded", text, graphs_lost))
        starts, lost = starts & ~graphs, lost & ~graphs
    count, without = int(starts.sum()), int(lost.sum())
    if without > max(_FEW, _REPORTED_SHARE * count):
        text = f"of {count} launches {without} have no GPU record: busy time is too low by their durations"
        notices.append(Notice("launches_without_kernels", text, without))
    return notices


def _early(trace: Trace) -> list[Notice]:
    kernels = trace.kernels
    launched = kernels.launch >= 0
    early = launched & (kernels.launch_ns > kernels.start_ns)
    if not early.any():
        return []
    ahead = (kernels.launch_ns - kernels.start_ns)[early]
    most = duration(int(ahead.max()))
    text = f"GPU records start before their launch, by up to {most}: host and GPU clocks differ"
    if (ahead > _CLOCKS_NS).sum() > _MOST * launched.sum():
        share, middle = percent(float(early.sum() / launched.sum())), duration(int(np.median(ahead)))
        text = (
            f"{share} of the GPU records start before their launch, by {middle} in the median: the GPU's "
            "clock runs behind the host's, and waits for the host and the borders of steps are off by as much"
        )
    return [Notice("starts_before_launch", text, int(early.sum()))]


def _idle_steps(trace: Trace) -> list[Notice]:
    if not trace.steps or within(trace.kernels.launch_ns, trace.steps).any():
        return []
    text = "no GPU activity was launched inside the annotated steps: the whole trace is used instead"
    return [Notice("steps_without_launches", text, len(trace.steps))]
