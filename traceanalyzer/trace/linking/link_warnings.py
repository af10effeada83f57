"""Notices about how a trace was linked: unlinked time, lost records, clocks that differ."""

from __future__ import annotations

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import UNLINKED, Bools, Trace
from traceanalyzer.records.units import duration, percent
from traceanalyzer.trace.linking.kinds import passes
from traceanalyzer.trace.linking.steps import within

_REPORTED_SHARE = 0.05  # share of GPU time, or of launches
_SLOWED = 1.3  # times the step without the profiler
_FEW = 20  # launches without a record that are not reported
_UNLINKED_TEXT = {
    "no_correlation": "records carry no correlation id; their launches are unknown",
    "no_launch": "records were queued before the recording began; their launches are unknown",
    "no_op": "records were launched outside of any recorded operator",
    "cuda_graph": "records were launched by replaying a captured graph, which records no operators",
    "compiled_region": "records were launched by a compiled region without an operator of their own",
}


def link_warnings(trace: Trace, *, gpu_listed: bool) -> tuple[Notice, ...]:
    """Warnings of one trace, in a fixed order."""
    if trace.on_cpu:
        if not gpu_listed and not _starts_kernels(trace).any():
            return _slowed(trace)
        text = (
            "the trace names a GPU but holds none of its activity: this is the time of the CPU side, not the "
            "GPU's (ProfilerActivity.CUDA or CUPTI was missing)"
        )
        return (Notice("gpu_not_captured", text), *_slowed(trace))
    return (*_unlinked(trace), *_lost(trace), *_early(trace), *_idle_steps(trace), *_slowed(trace))


def _slowed(trace: Trace) -> tuple[Notice, ...]:
    """Steps that the profiler slowed, by the collector's own timings."""
    recording = trace.recording
    if recording is None or not recording.profiled_step_ns or not recording.unprofiled_step_ns:
        return ()
    if recording.profiled_step_ns <= _SLOWED * recording.unprofiled_step_ns:
        return ()
    within, without = duration(recording.profiled_step_ns), duration(recording.unprofiled_step_ns)
    text = f"a step took {within} under the profiler, {without} without it: slowed operators look too large"
    return (Notice("slowed_by_profiler", text),)


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
    return notices


def _starts_kernels(trace: Trace) -> Bools:
    """Launches of kernels and graphs, by the names of all vendors' calls."""
    return passes(trace.names, trace.launches.name, lambda n: "Launch" in n and "HostFunc" not in n)


def _lost(trace: Trace) -> list[Notice]:
    """Launches whose kernel is not in the trace: its head or tail was lost, or a buffer ran over."""
    launches = trace.launches
    starts = _starts_kernels(trace) & (launches.correlation >= 0)
    count = int(starts.sum())
    starts[trace.kernels.launch[trace.kernels.launch >= 0]] = False
    lost = int(starts.sum())
    if lost <= max(_FEW, _REPORTED_SHARE * count):
        return []
    text = f"of {count} launches {lost} have no GPU record: busy time is too low by their durations"
    return [Notice("launches_without_kernels", text, lost)]


def _early(trace: Trace) -> list[Notice]:
    kernels = trace.kernels
    early = (kernels.launch >= 0) & (kernels.launch_ns > kernels.start_ns)
    if not early.any():
        return []
    by = int((kernels.launch_ns - kernels.start_ns)[early].max()) / 1000
    text = f"GPU records start before their launch, by up to {by:.3g} µs: host and GPU clocks differ"
    return [Notice("starts_before_launch", text, int(early.sum()))]


def _idle_steps(trace: Trace) -> list[Notice]:
    if not trace.steps or within(trace.kernels.launch_ns, trace.steps).any():
        return []
    text = "no GPU activity was launched inside the annotated steps: the whole trace is used instead"
    return [Notice("steps_without_launches", text, len(trace.steps))]
