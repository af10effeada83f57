"""A device that worked and whose activity is not in the trace: what proves it, and what is missing why."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import Bools, Trace, passes

# Operators that only a GPU runs. Collectives alone may be Gloo's, of CPUs, and whether cuDNN could be used
# is asked on CPUs too (`aten::cudnn_is_acceptable`, of each LSTM and GRU).
_ON_A_GPU = re.compile(
    r"aten::_?cudnn_(?:convolution|batch_norm|rnn|ctc_loss|grid_sampler|affine_grid_generator|attention)|"
    r"aten::miopen_(?:(?:depthwise_)?convolution|batch_norm|rnn|ctc_loss)|"
    r"nccl:|aten::_thnn_fused_|aten::_scaled_dot_product_(?:cudnn|efficient)_attention|"
    r"aten::_(?:flash|efficient)_attention_(?:forward|backward)$"
)
_LISTED = 3  # names in a notice
_RECORD = "record with ProfilerActivity.CUDA"
_TRACED = (
    "the tracing of the GPU's calls ran (CUPTI, roctracer) and its device records were lost: the recording "
    "ended before they arrived, or another profiler held the GPU"
)
_RETRY = "synchronize before the profiler stops, record with a schedule, close other profilers"


def starts_kernels(trace: Trace) -> Bools:
    """Launches of kernels and graphs, by the names of all vendors' calls."""
    return passes(trace.names, trace.launches.name, lambda n: "Launch" in n and "HostFunc" not in n)


def unrecorded(trace: Trace, unread: Mapping[str, int]) -> tuple[Notice, ...]:
    """Of a trace without activity of a device: what shows that one worked. `unread`: rows by category."""
    launched = int(starts_kernels(trace).sum())
    if unread:
        return (_unread(unread),)
    if launched:
        return (_lost(trace, launched),)
    seen = _gpu_operators(trace)
    if not seen:
        return ()
    shown = ", ".join(seen[:_LISTED]) + (", ..." if len(seen) > _LISTED else "")
    why = f"no activity of a GPU was recorded: {_RECORD}"
    why = "the file ends before the activity of the GPU" if trace.is_cut_off else why
    text = f"operators ran that only a GPU runs ({shown}), and {why}"
    return (Notice("gpu_not_captured", text),)


def _lost(trace: Trace, launched: int) -> Notice:
    what = f"{launched} launch{'es' if launched > 1 else ''} of kernels recorded and none of the kernels"
    if trace.is_cut_off:
        return Notice("gpu_not_captured", f"{what}: the file ends before its rows", launched)
    return Notice("gpu_not_captured", f"{what}: {_TRACED}; {_RETRY}", launched)


def _gpu_operators(trace: Trace) -> list[str]:
    used = np.unique(trace.ops.name)
    return sorted(trace.names[name] for name in used.tolist() if _ON_A_GPU.match(trace.names[name]))


def unread_notice(unread: Mapping[str, int]) -> tuple[Notice, ...]:
    """Rows of devices that are not read, beside a GPU's that are."""
    return (_unread(unread),) if unread else ()


def _unread(unread: Mapping[str, int]) -> Notice:
    most = sorted(unread, key=lambda category: (-unread[category], category))
    shown = ", ".join(f"{unread[category]:,} of category {category[:40]}" for category in most[:_LISTED])
    text = f"the file holds rows of a device that are not read: {shown}; none of their time is counted"
    return Notice("device_rows_unread", text, sum(unread.values()))
