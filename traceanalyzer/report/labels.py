"""The words of a report: a label and one sentence for every verdict, class, flag, reason and idle cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from traceanalyzer.records import Flag, IdleCause, OperatorClass, Reason, Verdict

VERDICT_LABELS: Final[Mapping[Verdict, str]] = {
    "compute_bound": "compute-bound",
    "memory_bound": "memory-bound",
    "latency_bound": "latency-bound",
    "communication": "communication",
    "copy": "copy",
    "unmodelled": "not modelled",
}

VERDICT_MEANING: Final[Mapping[Verdict, str]] = {
    "compute_bound": "limited by arithmetic: intensity at or above the ridge",
    "memory_bound": "limited by memory traffic: intensity below the ridge",
    "latency_bound": "too short or too few blocks to reach either roof",
    "communication": "collectives while no compute kernel runs",
    "copy": "memcpy and memset while nothing else runs",
    "unmodelled": "FLOPs, bytes or roofs are not known",
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
    "over_roof": "more FLOP/s than the peak: fewer products than counted (Winograd, FFT), or our mistake",
    "bytes_only": "the FLOPs or their peak are not known, but the bytes alone explain the time",
    "tf32_assumed": "faster than the vector peak, so the matrix engine at TF32 is assumed",
    "special_function_heavy": "exp, tanh and the like explain the time; no roof here counts their issue rate",
    "borrowed_shapes": "shapes are taken from an identical kernel whose launch was recorded",
    "zero_duration": "the profiler's clock gives it no duration",
}

REASON_MEANING: Final[Mapping[Reason, str]] = {
    "no_device": "no roofs: the device is not known",
    "no_peak": "the device's bandwidth, or its peak for this engine and precision, is not known",
    "no_formula": "no formula for this operator",
    "no_shapes": "the trace has no input shapes",
    "no_dtype": "the trace does not tell the data type",
    "no_concrete_inputs": "the trace lacks scalar arguments that decide the work",
    "data_dependent": "the work depends on the data, which no trace holds",
    "no_launch": "the launch of the kernel was not recorded",
    "no_correlation": "the kernel carries no link to its launch",
    "no_op": "launched outside of any recorded operator",
    "cuda_graph": "replayed from a graph: the trace does not say by which operator",
    "compiled_region": "compiled kernel whose operators are not recorded",
    "formula_failed": "the formula could not be applied to these inputs",
}

# What a user can do about a reason. No entry: nothing on the command line helps.
REASON_REMEDY: Final[Mapping[Reason, str]] = {
    "no_device": "give --device NAME or --device-file F.toml",
    "no_peak": "give --bandwidth BYTES and --peak PREC=FLOPS, or --device-file F.toml",
    "no_formula": "its time counts, its work is not known",
    "no_shapes": "record with record_shapes=True",
    "no_dtype": "record with record_shapes=True and a newer PyTorch",
    "no_concrete_inputs": "record with record_shapes=True and a newer PyTorch",
    "no_launch": "record CPU activity too, from before the first step",
    "no_correlation": "record CPU activity too",
    "no_op": "record CPU activity too",
    "cuda_graph": "record the same step without graphs and give that trace with --capture",
}

CAUSE_LABELS: Final[Mapping[IdleCause, str]] = {
    "launch_gap": "launch gap",
    "synchronisation": "synchronisation",
    "host_to_device_copy": "host-to-device copy",
    "data_loading": "data loading",
    "unknown": "cause not told",
}

CAUSE_MEANING: Final[Mapping[IdleCause, str]] = {
    "launch_gap": "the host had not launched the next kernel yet",
    "synchronisation": "the host waited for the device before launching on",
    "host_to_device_copy": "input was on its way to the device",
    "data_loading": "the host was fetching the next batch",
    "unknown": "nothing in the trace says why",
}

HOW: Final[Mapping[str, str]] = {
    "trace": "told by the trace",
    "inferred": "inferred from the trace",
    "flag": "given on the command line",
    "file": "described in a device file",
    "calibrated": "measured on the recording machine",
    "unknown": "not known",
}

TIER_MEANING: Final[Mapping[str, str]] = {
    "T0": "certain: scopes, composite operators, counts and kernel names of the trace",
    "T1": "proved by tensor identities in an execution trace",
    "T2": "proved by sizes and by when memory is freed",
    "T3": "likely, or the most that there is to win; the saving may be nothing",
}

# Every figure rests on these; a report says them once.
METHOD: Final[tuple[str, ...]] = (
    "One fused multiply-add counts as 2 FLOPs.",
    "Bytes are compulsory traffic: every distinct tensor read once, every output written once. The memory "
    "may have moved more, so efficiency and bandwidth are lower bounds of what hardware counters would show.",
    "Intensity is FLOPs by bytes; the ridge is peak by bandwidth. Roof time is the larger of FLOPs by peak "
    "and bytes by bandwidth; efficiency is roof time by measured time.",
    "Peaks are dense, looked up by engine and precision, never taken from another precision.",
    "While compute kernels run they own the time, else communication, else copies; time of several owners "
    "is split between them. So rows add up to busy time, and with idle to the window, exactly.",
)
