"""Softmax and normalization layers, forward and backward: compulsory passes over the activation.

Kernels that cannot hold a row on chip, or that make parameter gradients in a second pass, move more: where
hardware counters have shown how much, as further passes (docs/hardware.md).
"""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    bytes_of,
    bytes_read,
    count,
    dtype,
    has,
    is_true,
    itemsize,
    numel,
    recorded,
    shape,
    sizes,
    tensors,
    whole,
)
from traceanalyzer.records import Cost, FurtherPass, OpCall
from traceanalyzer.records.units import si

_SOURCE = "ATen/native/cuda: SoftMax.cu, layer_norm_kernel.cu, Normalization.cu, group_norm_kernel.cu"
_STATISTICS = "where it exceeds the cache: its statistics take a pass of their own"
_PARAMETERS = "where it exceeds the cache: the parameters' gradients read dY and X again"
_BLOCK = 1024  # threads of a softmax's block, which has one row: SoftMax.cu, SoftMaxForward_getBlockSize
_CHANNEL = 512  # threads of cuDNN's blocks, one a channel: a template argument in the kernels' names


def _in_practice(call: OpCall, activation: int, passes: int, why: str) -> str:
    """What its kernels move beside the compulsory bytes, for the row's note."""
    moved = si(passes * bytes_of(call, activation), "B")
    return f"in practice {passes} passes over the activation, {moved} a call, {why}"


@op_cost(
    "aten::_softmax",
    "aten::_log_softmax",
    "aten::_safe_softmax",
    "aten::_masked_softmax",
    source=_SOURCE,
    fusible="reduction",
)
def softmax(call: OpCall) -> Cost:
    """exp(x - max) / sum over a dimension, or its logarithm

    FLOPs = 4 an element, one of them an exponential
    Bytes = x read, y written (in fp32 where a half input is converted)
    Traffic = two further reads of x by kernels that keep no row on chip, where the rows at work exceed the
    cache: maximum, sum and result take a pass each (SoftMax.cu; A100 counters: 3.4 to 4.1 times x in all)
    Assumes otherwise that a row stays on chip or in the cache.
    """
    recorded(call, *range(2 if call.name == "aten::_masked_softmax" else 1))
    size = numel(shape(call, 0))
    to_float = len(call.concrete) > 2 and is_true(call.concrete[2])
    each = 4 if to_float and itemsize(call, 0) == 2 else itemsize(call, 0)
    read = bytes_read(call, 0) + (bytes_read(call, 1) if call.name == "aten::_masked_softmax" else 0)
    return Cost(4 * size, read, size * each, "vector", "fp32", special_functions=size,
                further=_softmax_passes(call, size * each))  # fmt: skip


def _softmax_passes(call: OpCall, written: int) -> tuple[FurtherPass, ...]:
    """Of a kernel with a thread a row (over an inner dimension), or a block a row (over the last)."""
    dims, given = shape(call, 0), whole(call.value(1) or "")
    if not numel(dims) or not dims:
        return ()
    again, moved = 2 * bytes_read(call, 0), bytes_of(call, 0) + written
    why, element = "maximum, sum and result each read x", moved / numel(dims)
    last = max(round(element * dims[-1] / _BLOCK), 1)
    passes = [FurtherPass(r"cunn_SoftMaxForward(?:Gmem)?\b", again, moved, last, why)]
    if given is not None and -len(dims) <= given < len(dims):
        inner = round(element * dims[given])
        passes.append(FurtherPass("cunn_SpatialSoftMaxForward", again, moved, inner, why))
    return tuple(passes)


@op_cost("aten::softmax", "aten::log_softmax", "aten::special_softmax", source=_SOURCE, role="composite")
def softmax_entry(call: OpCall) -> Cost:
    """A softmax that launches its kernel itself

    FLOPs = 4 an element
    Bytes = x read, y written
    Assumes a row stays on chip.
    """
    size = numel(shape(call, 0))
    return Cost(4 * size, bytes_read(call, 0), bytes_of(call, 0), "vector", "fp32", special_functions=size)


@op_cost(
    "aten::_softmax_backward_data",
    "aten::_log_softmax_backward_data",
    "aten::_masked_softmax_backward",
    source=_SOURCE,
    fusible="reduction",
)
def softmax_backward(call: OpCall) -> Cost:
    """dX from dY and Y

    FLOPs = 4 an element
    Bytes = dY and Y read, dX written
    Assumes a row stays on chip.
    """
    recorded(call, 0, 1)
    size = numel(shape(call, 0))
    special = size if "log" in call.name else 0
    read = bytes_read(call, 0) + bytes_read(call, 1)
    return Cost(4 * size, read, bytes_of(call, 1), "vector", "fp32", special_functions=special)


def _parameters(call: OpCall, *places: int) -> int:
    return sum(bytes_read(call, i) for i in places)


@op_cost("aten::native_layer_norm", source=_SOURCE, fusible="reduction")
def layer_norm(call: OpCall) -> Cost:
    """(x - mean) / std * w + b over the last dimensions

    FLOPs = 7 an element
    Bytes = x, w, b read; y and two fp32 statistics a row written
    Assumes x is read once.
    """
    size = numel(shape(call, 0))
    columns = _columns(call)
    rows = size // columns if columns else 0
    read = bytes_read(call, 0) + _parameters(call, 2, 3)
    return Cost(7 * size, read, bytes_of(call, 0) + 8 * rows, "vector", "fp32", special_functions=rows)


def _columns(call: OpCall) -> int:
    """Elements a row: of the weight, or by the normalized shape."""
    for i in (2, 3):
        if has(call, i):
            return numel(shape(call, i))
    return numel(sizes(call, 1)) if call.concrete else shape(call, 0)[-1]


def _wanted(call: OpCall, index: int) -> tuple[bool, bool, bool]:
    """Which gradients an `output_mask` asks for; all of them where it is not recorded."""
    mask = call.concrete[index].strip("[] ").split(",") if index < len(call.concrete) else []
    first, second, third = map(is_true, mask) if len(mask) == 3 else (True, True, True)
    return first, second, third


@op_cost("aten::native_layer_norm_backward", source=_SOURCE, fusible="reduction")
def layer_norm_backward(call: OpCall) -> Cost:
    """dX, dW, dB from dY, X, the statistics and W

    FLOPs = 13 an element (9 dX, 4 dW and dB)
    Bytes = dY, X, statistics, W read; those wanted of dX, dW, dB written
    Assumes one pass; a second kernel reads dY and X again for dW and dB (5 passes in practice). All are
    wanted where the mask is not recorded.
    """
    recorded(call, 0, 1, 3, 4)
    size = numel(shape(call, 1))
    read = sum(bytes_read(call, i) for i in tensors(call) if i < 6)
    row = max(_parameters(call, 5), _parameters(call, 6))
    wanted = _wanted(call, 7)
    written = bytes_of(call, 1) * wanted[0] + row * (wanted[1] + wanted[2])
    return Cost(13 * size, read, written, "vector", "fp32", note=_in_practice(call, 1, 5, _PARAMETERS))


@op_cost("aten::_fused_rms_norm", source=_SOURCE, fusible="reduction")
def rms_norm(call: OpCall) -> Cost:
    """x / rms(x) * w over the last dimensions

    FLOPs = 4 an element
    Bytes = x and w read, y and one fp32 statistic a row written
    Assumes x is read once.
    """
    size = numel(shape(call, 0))
    columns = _columns(call)
    rows = size // columns if columns else 0
    read = bytes_read(call, 0) + _parameters(call, 2)
    return Cost(4 * size, read, bytes_of(call, 0) + 4 * rows, "vector", "fp32", special_functions=rows)


@op_cost("aten::_fused_rms_norm_backward", source=_SOURCE, fusible="reduction")
def rms_norm_backward(call: OpCall) -> Cost:
    """dX and dW from dY, X, the statistics and W

    FLOPs = 11 an element
    Bytes = dY, X, statistics and W read, dX and dW written
    Assumes one pass.
    """
    recorded(call, 0, 1, 3)
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(11 * numel(shape(call, 1)), read, bytes_of(call, 1) + _parameters(call, 4),
                note=_in_practice(call, 1, 5, _PARAMETERS))  # fmt: skip


@op_cost(
    "aten::layer_norm",
    "aten::rms_norm",
    "aten::group_norm",
    "aten::batch_norm",
    "aten::instance_norm",
    "aten::_batch_norm_impl_index",
    source=_SOURCE,
    role="composite",
)
def norm_entry(call: OpCall) -> Cost:
    """A normalization that launches its kernel itself

    FLOPs = 7 an element
    Bytes = x and parameters read, y written
    Assumes one pass.
    """
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(7 * numel(shape(call, 0)), read, bytes_of(call, 0))


_BATCH_NORMS = ("aten::native_batch_norm", "aten::cudnn_batch_norm", "aten::miopen_batch_norm",
                "aten::_native_batch_norm_legit", "aten::_batch_norm_with_update",
                "aten::_batch_norm_no_update", "aten::_native_batch_norm_legit_functional",
                "aten::_native_batch_norm_legit_no_training")  # fmt: skip


# Tensors that each always has, besides those whose dims it cannot be priced without.
_ALWAYS = {
    "aten::cudnn_batch_norm": (1,), "aten::miopen_batch_norm": (1,),
    "aten::_batch_norm_with_update": (3, 4), "aten::_native_batch_norm_legit_functional": (3, 4),
    "aten::_native_batch_norm_legit_no_training": (3, 4),
    "aten::cudnn_batch_norm_backward": (2,), "aten::miopen_batch_norm_backward": (2,),
    "aten::batch_norm_backward": (2,),
    "aten::batch_norm_stats": (0,), "aten::batch_norm_elemt": (0, 3, 4),
    "aten::batch_norm_backward_reduce": (0, 1, 2, 3),
    "aten::batch_norm_backward_elemt": (0, 1, 2, 3, 5, 6, 7),
    "aten::batch_norm_gather_stats_with_counts": (0, 1, 2, 7),
}  # fmt: skip


@op_cost(*_BATCH_NORMS, source=_SOURCE, fusible="reduction")
def batch_norm(call: OpCall) -> Cost:
    """(x - mean) / std * w + b over all but the channels

    FLOPs = 7 an element in training, 2 in evaluation
    Bytes = x, w, b and running statistics read; y, and in training the statistics, written
    Traffic = in training a further read of x, for the statistics, by kernels that are known to read twice,
    where x exceeds the cache (V100 counters: 1.5 times the bytes; `singleread` kernels: 1.0)
    Assumes otherwise one pass. Training is assumed where the argument is not recorded.
    """
    recorded(call, *_ALWAYS.get(call.name, ()))
    size = numel(shape(call, 0))
    legit = "no_training" in call.name or "no_update" in call.name
    evaluates = len(call.concrete) > 5 and call.concrete[5].strip() in ("False", "false", "0")
    training = not legit and not evaluates
    vectors = sum(bytes_read(call, i) for i in tensors(call) if i > 0)
    channels = shape(call, 0)[1] if len(shape(call, 0)) > 1 else 1
    statistics = 2 * 4 * channels + _parameters(call, 3, 4)  # fp32, and the running ones where there are some
    written = bytes_of(call, 0) + (statistics if training else 0)
    notes = [] if call.concrete or legit else ["training assumed: the argument was not recorded"]
    if training:
        notes.append(_in_practice(call, 0, 3, _STATISTICS))
    flops = (7 if training else 2) * size
    again, why = bytes_read(call, 0), "the statistics take a pass over x of their own"
    further = _channel_passes("bn_fw_tr_1C11_kernel", "batch_norm_collect_statistics", again,
                              again + bytes_of(call, 0), channels, why)  # fmt: skip
    return Cost(flops, again + vectors, written, "vector", "fp32", note="; ".join(notes),
                further=further if training else ())  # fmt: skip


def _channel_passes(
    one_kernel: str, first_of_two: str, again: int, moved: int, channels: int, why: str
) -> tuple[FurtherPass, ...]:
    """`again` bytes by a kernel with a block a channel, or by one that follows another over all of them."""
    of_thread = moved // max(channels, 1) // _CHANNEL
    return (
        FurtherPass(one_kernel, again, moved, max(of_thread, 1), why),
        FurtherPass(first_of_two, again, again, 0, why),
    )


@op_cost(
    "aten::native_batch_norm_backward",
    "aten::cudnn_batch_norm_backward",
    "aten::miopen_batch_norm_backward",
    "aten::batch_norm_backward",
    source=_SOURCE,
    fusible="reduction",
)
def batch_norm_backward(call: OpCall) -> Cost:
    """dX, dW, dB from dY and X

    FLOPs = 13 an element
    Bytes = dY, X, statistics and W read; those wanted of dX, dW, dB written
    Traffic = a further read of dY and X, for the reductions that come first, by kernels that are known to
    read twice, where both exceed the cache (V100 counters: 1.6 times the bytes)
    Assumes otherwise one pass. All are wanted where no mask is recorded.
    """
    recorded(call, *_ALWAYS.get(call.name, ()))
    big = [i for i in tensors(call) if len(shape(call, i)) > 1 and dtype(call, i) != "uint8"][:2]
    vectors = [i for i in tensors(call) if len(shape(call, i)) == 1 and dtype(call, i) != "uint8"]
    if len(big) < 2:
        raise Missing("no_shapes", "dY and X are not both recorded")
    read = sum(bytes_read(call, i) for i in (*big, *vectors))
    wanted = _wanted(call, 9) if "native" in call.name or "aten::batch" in call.name else (True, True, True)
    parameter = bytes_of(call, 2) or 4 * shape(call, big[0])[1]
    written = bytes_of(call, big[0]) * wanted[0] + parameter * (wanted[1] + wanted[2])
    again = sum(bytes_read(call, i) for i in big)
    further = _channel_passes("bn_bw_1C11_kernel", "batch_norm_backward_reduce", again,
                              again + bytes_of(call, big[0]), shape(call, big[0])[1],
                              "reductions over dY and X come first")  # fmt: skip
    return Cost(13 * numel(shape(call, big[0])), read, written, further=further,
                note=_in_practice(call, big[0], 5, _STATISTICS))  # fmt: skip


@op_cost(
    "aten::batch_norm_stats",
    "aten::batch_norm_backward_reduce",
    "aten::batch_norm_elemt",
    "aten::batch_norm_backward_elemt",
    "aten::batch_norm_gather_stats_with_counts",
    source=_SOURCE,
)
def sync_batch_norm(call: OpCall) -> Cost:
    """The parts of a synchronized batch normalization

    FLOPs = 3 an element (statistics), 4 (apply), 5 (backward)
    Bytes = tensors read; y or dX written, or statistics of the channels
    Assumes one pass each.
    """
    recorded(call, *_ALWAYS[call.name])
    inputs = tensors(call)
    first = shape(call, 0)
    read = sum(bytes_read(call, i) for i in inputs)
    applies = call.name.endswith("elemt")
    channels = first[1] if len(first) > 1 else first[0]
    return Cost((4 if applies else 3) * numel(first), read, bytes_of(call, 0) if applies else 8 * channels)


@op_cost("aten::native_group_norm", source=_SOURCE, fusible="reduction")
def group_norm(call: OpCall) -> Cost:
    """(x - mean) / std * w + b over groups of channels

    FLOPs = 7 an element
    Bytes = x, w, b read; y and two statistics a group written
    Assumes one pass; the statistics need a second where a group does not stay on chip.
    """
    dims = shape(call, 0)
    groups = count(call, 6) if len(call.concrete) > 6 else 1
    read = bytes_read(call, 0) + _parameters(call, 1, 2)
    return Cost(7 * numel(dims), read, bytes_of(call, 0) + 2 * dims[0] * groups * itemsize(call, 0),
                note=_in_practice(call, 0, 3, _STATISTICS))  # fmt: skip


@op_cost("aten::native_group_norm_backward", source=_SOURCE, fusible="reduction")
def group_norm_backward(call: OpCall) -> Cost:
    """dX, dW, dB from dY, X, the statistics and W

    FLOPs = 13 an element
    Bytes = inputs read, dX, dW, dB written
    Assumes one pass.
    """
    recorded(call, 0, 1, 2, 3)
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(13 * numel(shape(call, 0)), read, bytes_of(call, 1) + 2 * _parameters(call, 4),
                note=_in_practice(call, 0, 5, _STATISTICS))  # fmt: skip


@op_cost("aten::_weight_norm_interface", "aten::_weight_norm", "aten::renorm", source=_SOURCE)
def weight_norm(call: OpCall) -> Cost:
    """v * g / |v|

    FLOPs = 4 an element
    Bytes = v and g read, w and the norms written
    Assumes one pass.
    """
    recorded(call, *range(1 if call.name == "aten::renorm" else 2))
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(4 * numel(shape(call, 0)), read, bytes_of(call, 0) + bytes_of(call, 1))
