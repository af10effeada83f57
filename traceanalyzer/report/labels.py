"""Texts of a report: a label and one sentence for every verdict, class, flag, reason and idle cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from traceanalyzer.records import Flag, IdleCause, OperatorClass, Reason, Verdict
from traceanalyzer.records.critical_path import PathPartName

VERDICT_LABELS: Final[Mapping[Verdict, str]] = {
    "compute_bound": "compute-bound",
    "memory_bound": "memory-bound",
    "latency_bound": "latency-bound",
    "communication": "communication",
    "copy": "copy",
    "unmodelled": "not modelled",
}

PATH_PART_LABELS: Final[Mapping[PathPartName, str]] = {
    "host": "operators on the host",
    "launch": "launch to kernel",
    "between_kernels": "kernel to kernel",
}

PATH_PART_MEANING: Final[Mapping[PathPartName, str]] = {
    "host": "the step waits for operators on the host",
    "launch": "from a launch on the host to the start of what it launches",
    "between_kernels": "from the end of a kernel to the start of the one behind it",
}

VERDICT_MEANING: Final[Mapping[Verdict, str]] = {
    "compute_bound": "on the side of arithmetic: intensity at or above the ridge, or functions of a CPU",
    "memory_bound": "on the side of memory traffic: intensity below the ridge",
    "latency_bound": "too short or too few blocks to reach either roof",
    "communication": "collectives while no compute kernel runs",
    "copy": "memcpy and memset while nothing else runs",
    "unmodelled": "FLOPs, bytes or roofs are unknown",
}

VERDICT_NOUNS: Final[Mapping[Verdict, str]] = {
    "compute_bound": "compute-bound kernels",
    "memory_bound": "memory-bound kernels",
    "latency_bound": "latency-bound kernels",
    "communication": "communication",
    "copy": "copies",
    "unmodelled": "kernels that are not modelled",
}

CLASS_LABELS: Final[Mapping[OperatorClass, str]] = {
    "tensor_contraction": "tensor contraction",
    "statistical_normalization": "statistical normalization",
    "element_wise": "element-wise",
    "communication": "communication",
    "copy": "copy",
    "other": "other",
}

FLAG_MEANING: Final[Mapping[Flag, str]] = {
    "inefficient": "reaches less of its roof than the efficiency limit, although it is large enough to",
    "balanced": "compute and memory time are nearly equal: the verdict could go either way",
    "cache_resident": "moves its bytes faster than the memory could: some of them came from a cache",
    "over_roof": "faster than the peak: fewer multiplications than counted (Winograd, FFT), or an error; "
    "or faster than a CPU's functions at their measured rates",
    "bytes_only": "the FLOPs or their peak are unknown, but the bytes alone explain the time",
    "tf32_assumed": "faster than the vector peak, so the matrix engine at TF32 is assumed",
    "special_function_heavy": "exp, tanh and the like explain the time; no roof includes their issue rate",
    "bounded": "data decides how much work it is: only what it is at least and at most is known",
    "borrowed_shapes": "shapes are taken from an identical kernel whose launch was recorded",
    "zero_duration": "the profiler's clock gives it no duration",
}

REASON_MEANING: Final[Mapping[Reason, str]] = {
    "no_device": "no roofs: the device is unknown",
    "no_peak": "the device's bandwidth, or its peak for this engine and precision, is unknown",
    "no_formula": "no formula for this operator",
    "no_shapes": "the trace has no shapes of the inputs",
    "no_dtype": "the trace does not record the data type",
    "no_concrete_inputs": "the trace lacks scalar arguments that decide the work",
    "data_dependent": "the work depends on the data, which no trace holds",
    "no_launch": "the launch of the kernel was not recorded",
    "no_correlation": "the kernel carries no link to its launch",
    "no_op": "launched outside of any recorded operator",
    "cuda_graph": "replayed from a graph: the trace does not say by which operator",
    "compiled_region": "compiled kernel whose operators are not recorded",
    "formula_failed": "the formula could not be applied to these inputs",
    "not_recorded": "the device worked and its activity is not in the trace",
}

# What a user can do about a reason. No entry: nothing on the command line helps.
REASON_REMEDY: Final[Mapping[Reason, str]] = {
    "no_device": "give --device NAME or --device-file F.toml",
    "no_peak": "give --bandwidth BYTES and --peak PREC=FLOPS, or --device-file F.toml",
    "no_formula": "where you know what it computes, give a formula: --cost-file F.py",
    "data_dependent": "where you know what it computes, give a formula: --cost-file F.py",
    "formula_failed": "give a formula of your own: --cost-file F.py",
    "no_shapes": "record with record_shapes=True where the trace has no shapes at all",
    "no_dtype": "give the type with --assume-dtype fp32, or record with a newer PyTorch",
    "no_concrete_inputs": "record with record_shapes=True and a newer PyTorch",
    "not_recorded": "record the device's activity: its ProfilerActivity, and nothing else that profiles it",
    "no_launch": "record CPU activity too, from before the first step",
    "no_correlation": "record CPU activity too",
    "no_op": "record CPU activity too",
    "cuda_graph": "record the same step without graphs and give that trace with --capture",
}

BY_FORMULA: Final[tuple[Reason, ...]] = ("no_formula", "data_dependent", "formula_failed")
"""Reasons for which a formula of the user's own is all that is missing."""

CAUSE_LABELS: Final[Mapping[IdleCause, str]] = {
    "launch_gap": "launch gap",
    "synchronisation": "synchronization",
    "host_to_device_copy": "host-to-device copy",
    "data_loading": "data loading",
    "memory_allocation": "memory allocation",
    "compilation": "compilation",
    "first_use": "first use",
    "profiler": "profiler",
    "host_work": "host work",
    "unknown": "unknown",
}

WAITS_FOR: Final[Mapping[IdleCause, str]] = {  # "the device waits for ..."
    "launch_gap": "launches",
    "synchronisation": "synchronization",
    "host_to_device_copy": "copies from the host",
    "data_loading": "data loading",
    "memory_allocation": "memory allocation",
    "compilation": "compilation",
    "first_use": "start-up",
    "profiler": "the profiler",
    "host_work": "host work",
    "unknown": "what the trace does not show",
}

CAUSE_MEANING: Final[Mapping[IdleCause, str]] = {
    "launch_gap": "the host had not launched the next kernel yet",
    "synchronisation": "the host waited for the device before it launched more",
    "host_to_device_copy": "input was being copied to the device",
    "data_loading": "the host was fetching the next batch",
    "memory_allocation": "the allocator asked the driver for memory, or gave it back",
    "compilation": "the host was compiling",
    "first_use": "code, a stream or a library was set up, once a process",
    "profiler": "the profiler did its own work: without it the step is shorter",
    "host_work": "the host did something else than launching",
    "unknown": "nothing in the trace shows the cause",
}

HOW: Final[Mapping[str, str]] = {
    "trace": "from the trace",
    "inferred": "inferred from the trace",
    "derived": "derived from its clocks, low confidence",
    "flag": "given on the command line",
    "file": "described in a device file",
    "calibrated": "measured on the recording machine",
    "unknown": "unknown",
}

TIER_MEANING: Final[Mapping[str, str]] = {
    "T0": "certain: scopes, composite operators, counts and kernel names of the trace",
    "T1": "proved by tensor identities in an execution trace",
    "T2": "proved by sizes and by when memory is freed",
    "T3": "likely, or an upper limit; the saving may be zero",
}

# The method behind every figure; a report states it once.
METHOD: Final[tuple[str, ...]] = (
    "One fused multiply-add counts as 2 FLOPs.",
    "Bytes are compulsory traffic: every distinct tensor read once, every output written once. The memory "
    "may have moved more, so efficiency and bandwidth are lower bounds of what hardware counters would show.",
    "Intensity is FLOPs / bytes; the ridge is peak / bandwidth. Roof time is the larger of FLOPs / peak and "
    "bytes / bandwidth; efficiency is roof time / measured time.",
    "A row runs at a roof where it reaches at least 60 % of it (threshold at_roof), by its traffic where its "
    "kernels are known to move more than the compulsory bytes. Held against hardware counters: "
    "docs/hardware.md.",
    "Peaks are dense, looked up by engine and precision, never taken from another precision.",
    "Time in which compute kernels run is attributed to them, else to communication, else to copies; kernels "
    "that overlap share it. So rows add up to busy time, and with idle time to the window, exactly.",
)
