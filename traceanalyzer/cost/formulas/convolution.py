"""Convolutions, forward and backward: 2 FLOPs a tap, tensors once, true stride, padding, dilation, groups.

A trace of torch 2.1 or later records these arguments; an earlier one does not. There the output's
shape may be proved by another op's recorded input (OpCall.output), or the op stays unpriced.
"""

from __future__ import annotations

import msgspec

from traceanalyzer.cost.formulas.pooling import windows
from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    agree,
    argument,
    bytes_of,
    bytes_read,
    count,
    dtype,
    each,
    flag,
    has,
    is_true,
    itemsize,
    matrix_precision,
    numel,
    quotient,
    recorded,
    shape,
    sizes,
)  # fmt: skip
from traceanalyzer.records import Cost, Engine, FurtherPass, OpCall, Shape

_SOURCE = "torch/utils/flop_counter.py: conv_flop_count; torch.nn.Conv2d, ConvTranspose2d: output shapes"
_DEPTHWISE_DW = "conv_depthwise2d_grad_weight|wgrad2d_(?:c1_k1|grouped_direct)"  # ATen's and cuDNN's


class Layout(msgspec.Struct, frozen=True):
    """Where an op's arguments stand; -1: it has none."""

    weight: int = 1
    stride: int = 3
    padding: int = 4
    dilation: int = 5
    groups: int = -1
    transposed: int = -1
    output_padding: int = -1
    always_transposed: bool = False


# Argument order from torch/aten/src/ATen/native/native_functions.yaml.
FORWARD = {
    "aten::convolution": Layout(transposed=6, output_padding=7, groups=8),
    "aten::_convolution": Layout(transposed=6, output_padding=7, groups=8),
    "aten::convolution_overrideable": Layout(transposed=6, output_padding=7, groups=8),
    "aten::conv1d": Layout(groups=6), "aten::conv2d": Layout(groups=6), "aten::conv3d": Layout(groups=6),
    "aten::conv_transpose1d": Layout(output_padding=5, groups=6, dilation=7, always_transposed=True),
    "aten::conv_transpose2d": Layout(output_padding=5, groups=6, dilation=7, always_transposed=True),
    "aten::conv_transpose3d": Layout(output_padding=5, groups=6, dilation=7, always_transposed=True),
    "aten::cudnn_convolution": Layout(padding=2, stride=3, dilation=4, groups=5),
    "aten::cudnn_convolution_relu": Layout(stride=3, padding=4, dilation=5, groups=6),
    "aten::cudnn_convolution_add_relu": Layout(stride=5, padding=6, dilation=7, groups=8),
    "aten::cudnn_convolution_transpose": Layout(
        padding=2, output_padding=3, stride=4, dilation=5, groups=6, always_transposed=True),
    "aten::miopen_convolution": Layout(padding=3, stride=4, dilation=5, groups=6),
    "aten::miopen_depthwise_convolution": Layout(padding=3, stride=4, dilation=5, groups=6),
    "aten::miopen_convolution_transpose": Layout(
        padding=3, output_padding=4, stride=5, dilation=6, groups=7, always_transposed=True),
    "aten::mkldnn_convolution": Layout(padding=3, stride=4, dilation=5, groups=6),
    "mkldnn::_convolution_pointwise": Layout(padding=3, stride=4, dilation=5, groups=6),
    "aten::_conv_depthwise2d": Layout(stride=4, padding=5, dilation=6),
    "aten::conv_depthwise3d": Layout(stride=4, padding=5, dilation=6),
    "aten::thnn_conv2d": Layout(stride=4, padding=5, dilation=-1),
    "aten::_slow_conv2d_forward": Layout(stride=4, padding=5, dilation=-1),
    "aten::slow_conv3d_forward": Layout(stride=4, padding=5, dilation=-1),
    "aten::slow_conv_dilated2d": Layout(stride=4, padding=5, dilation=6),
    "aten::slow_conv_dilated3d": Layout(stride=4, padding=5, dilation=6),
    "aten::slow_conv_transpose2d": Layout(
        stride=4, padding=5, output_padding=6, dilation=7, always_transposed=True
    ),
    "aten::slow_conv_transpose3d": Layout(
        stride=4, padding=5, output_padding=6, dilation=7, always_transposed=True
    ),
}  # fmt: skip
_WRAPPERS = (
    "aten::convolution", "aten::_convolution", "aten::conv1d", "aten::conv2d", "aten::conv3d",
    "aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d",
    "aten::thnn_conv2d", "aten::convolution_overrideable",
)  # fmt: skip


@op_cost(*_WRAPPERS, source=_SOURCE, role="composite")
def convolution(call: OpCall) -> Cost:
    """Out[n, co, o..] = sum over ci, k.. of In[n, ci, o*s + k*d - p..] * W[co, ci, k..]

    FLOPs = 2 * N * prod(Out) * Cout * (Cin/groups) * prod(k); transposed: over the input's positions
    Bytes = input, weight and bias read, output written
    Assumes taps on padding are counted, as torch does.
    """
    return _forward(call)


@op_cost(*(name for name in FORWARD if name not in _WRAPPERS), source=_SOURCE)
def convolution_kernel(call: OpCall) -> Cost:
    """One library's convolution: as `aten::convolution`

    FLOPs = 2 * N * prod(Out) * Cout * (Cin/groups) * prod(k); transposed: over the input's positions
    Bytes = input, weight and bias read, output written
    Assumes taps on padding are counted, as torch does; layout kernels it launches are part of it.
    """
    return _forward(call)


def _forward(call: OpCall) -> Cost:
    layout = FORWARD[call.name]
    recorded(call, 0, *range(1, layout.weight + 1), *((2,) if "add_relu" in call.name else ()))
    x, w = shape(call, 0), shape(call, layout.weight)
    transposed = layout.always_transposed or (layout.transposed >= 0 and bool(call.concrete)
                                              and flag(call, layout.transposed))  # fmt: skip
    out, note = _output(call, layout, x, w, transposed)
    positions = numel(x[2:]) if transposed else numel(out[2:])
    flops = 2 * x[0] * positions * numel(w)
    read = bytes_read(call, 0) + bytes_read(call, layout.weight)
    read += sum(bytes_read(call, i) for i in range(2, 5) if has(call, i) and i != layout.weight)
    groups = x[1] // w[1] if not transposed and w[1] else 1
    return Cost(
        flops, read, numel(out) * itemsize(call, 0), _engine(x, w, groups, transposed),
        matrix_precision(dtype(call, 0)), note=note,
    )  # fmt: skip


def _engine(x: Shape, w: Shape, groups: int, transposed: bool) -> Engine:
    """Depthwise convolutions have one channel a group: nothing for a matrix unit to multiply."""
    depthwise = groups == x[1] and groups > 1 and not transposed
    return "vector" if depthwise else "matrix"


def _output(call: OpCall, layout: Layout, x: Shape, w: Shape, transposed: bool) -> tuple[Shape, str]:
    """The output's dims, and a note where they come from another op."""
    if not call.concrete:
        if call.output is not None:
            return call.output, f"stride was not recorded; output shape proved by {call.output_from}"
        raise Missing("no_concrete_inputs", "stride and padding are not recorded (torch before 2.1)")
    agree(call, len(x), len(w))
    rank = len(x) - 2
    stride = each(call, layout.stride, rank, [1])
    dilation = each(call, layout.dilation, rank, [1]) if layout.dilation >= 0 else [1] * rank
    text = argument(call, layout.padding).strip("'\" ")
    if text in ("same", "valid"):
        spatial = tuple(quotient(i, s) if text == "same" else windows(i, k, s, dilation=d)
                        for i, k, s, d in zip(x[2:], w[2:], stride, dilation, strict=True))  # fmt: skip
        return (x[0], w[0], *spatial), ""
    padding = each(call, layout.padding, rank, [0])
    if not transposed:
        spatial = tuple(
            windows(i, k, s, p, d)
            for i, k, s, p, d in zip(x[2:], w[2:], stride, padding, dilation, strict=True)
        )
        return (x[0], w[0], *spatial), ""
    extra = each(call, layout.output_padding, rank, [0])
    groups = count(call, layout.groups) if layout.groups >= 0 else 1
    spatial = tuple(
        (i - 1) * s - 2 * p + d * (k - 1) + e + 1
        for i, k, s, p, d, e in zip(x[2:], w[2:], stride, padding, dilation, extra, strict=True)
    )
    return (x[0], w[1] * groups, *spatial), ""


@op_cost(
    "aten::convolution_backward",
    "aten::convolution_backward_overrideable",
    "aten::miopen_convolution_backward",
    "aten::mkldnn_convolution_backward",
    "aten::cudnn_convolution_backward",
    source=_SOURCE,
)
def convolution_backward(call: OpCall) -> Cost:
    """dX, dW and dBias, those that the output mask asks for

    FLOPs = the forward count once for dX and once for dW, one an element of dY for dBias
    Bytes = dX: dY and W read, X's size written; dW: X and dY read, W's size written; dY and X, W read once
    Traffic = depthwise: dY read once more, dX and dW having kernels of their own (DepthwiseConv2d.cu; V100
    counters: 1.4 times the bytes)
    Assumes both gradients are wanted where the mask is not recorded; the weight gradient of a grouped
    convolution is counted without the g-fold excess of torch's own counter.
    """
    x, dy = (1, 0) if call.name.startswith("aten::convolution") else (0, 1)
    wants_x, wants_w, note = _mask(call)
    return _gradients(call, x, dy, 2, wants_x, wants_w, note)


def _mask(call: OpCall) -> tuple[bool, bool, str]:
    """output_mask is the last argument, a list of two or three booleans."""
    last = call.concrete[-1] if call.concrete else ""
    values = [is_true(word) for word in last.strip("[] ").split(",") if word.strip()]
    if len(values) >= 2:
        return values[0], values[1], ""
    return True, True, "both gradients assumed: the output mask was not recorded"


def _wants_bias(call: OpCall) -> bool:
    """The third flag of a recorded output mask."""
    words = call.concrete[-1].strip("[] ").split(",") if call.concrete else []
    return len(words) == 3 and is_true(words[2])


def _gradients(
    call: OpCall,
    x: int,
    dy: int,
    w: int,
    wants_x: bool,
    wants_w: bool,
    note: str,
    transposed: bool | None = None,
) -> Cost:
    dims_x, dims_y, dims_w = shape(call, x), shape(call, dy), shape(call, w)
    if transposed is None:
        given = len(call.concrete) > 7 and "convolution_backward" in call.name and x == 1
        transposed = given and flag(call, 7)
    positions = numel(dims_x[2:]) if transposed else numel(dims_y[2:])
    once = 2 * dims_x[0] * positions * numel(dims_w)
    read = bytes_read(call, dy)
    read += (bytes_read(call, w) if wants_x else 0) + (bytes_read(call, x) if wants_w else 0)
    written = (bytes_of(call, x) if wants_x else 0) + (bytes_of(call, w) if wants_w else 0)
    groups = dims_x[1] // dims_w[1] if dims_w[1] and not transposed else 1
    engine = _engine(dims_x, dims_w, groups, transposed)
    flops = once * (int(wants_x) + int(wants_w))
    if _wants_bias(call):
        flops += numel(dims_y)
        written += dims_y[1] * itemsize(call, dy)
    depthwise = wants_x and wants_w and groups > 1 and groups == dims_x[1]
    again = FurtherPass(_DEPTHWISE_DW, bytes_read(call, dy), bytes_read(call, dy) + bytes_of(call, x),
                        why="dX and dW each read dY")  # fmt: skip
    return Cost(flops, read, written, engine, matrix_precision(dtype(call, dy)), note=note,
                further=(again,) if depthwise else ())  # fmt: skip


@op_cost(
    "aten::cudnn_convolution_backward_input",
    "aten::miopen_convolution_backward_input",
    "aten::cudnn_convolution_backward_weight",
    "aten::miopen_convolution_backward_weight",
    source=_SOURCE,
)
def convolution_gradient(call: OpCall) -> Cost:
    """dX from (sizes, dY, W), or dW from (sizes, dY, X): torch 1.8 to 1.10

    FLOPs = 2 * N * prod(dY's positions) * Cout * (Cin/groups) * prod(k)
    Bytes = the two tensors read, the gradient written
    Assumes the gradient's sizes, its first argument, are recorded or proved by another op.
    """
    dy = shape(call, 1)
    result = sizes(call, 0) if call.concrete else call.output
    if not result:
        raise Missing("no_concrete_inputs", "the size of the gradient is not recorded (torch before 2.1)")
    weight = shape(call, 2) if call.name.endswith("input") else result
    flops = 2 * dy[0] * numel(dy[2:]) * numel(weight)
    read = bytes_read(call, 1) + bytes_read(call, 2)
    return Cost(flops, read, numel(result) * itemsize(call, 1), "matrix", matrix_precision(dtype(call, 1)))


@op_cost(
    "aten::_conv_depthwise2d_backward",
    "aten::conv_depthwise3d_backward",
    "aten::thnn_conv2d_backward",
    "aten::_slow_conv2d_backward",
    "aten::slow_conv3d_backward",
    source=_SOURCE,
)
def convolution_backward_plain(call: OpCall) -> Cost:
    """dX and dW from (dY, X, W, ...)

    FLOPs = the forward count once for dX and once for dW
    Bytes = dY, X and W read, dX and dW written, by the output mask
    Traffic = depthwise: dY read once more, dX and dW having kernels of their own (DepthwiseConv2d.cu; V100
    counters: 1.4 times the bytes)
    Assumes both gradients are wanted where the mask is not recorded.
    """
    wants_x, wants_w, note = _mask(call)
    return _gradients(call, 1, 0, 2, wants_x, wants_w, note, transposed=False)
