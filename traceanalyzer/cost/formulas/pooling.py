"""Pooling: the input read once, the smaller result written, and the gradient put back."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    agree,
    bytes_of,
    bytes_read,
    each,
    flag,
    itemsize,
    numel,
    quotient,
    recorded,
    shape,
)
from traceanalyzer.records import Cost, OpCall, Shape

_SOURCE = "torch/aten/src/ATen/native/Pool.h: shapes of the results"

_POOLS = ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")


def _pooled(call: OpCall, dims: Shape, rank: int) -> tuple[int, int]:
    """(elements of the output, taps an output element)."""

    kernel = each(call, 1, rank)
    stride = each(call, 2, rank, kernel)
    padding = each(call, 3, rank, [0])
    average = "avg" in call.name
    dilation = [1] * rank if average else each(call, 4, rank, [1])
    ceil = flag(call, 4 if average else 5)
    agree(call, rank, len(dims[-rank:]))
    out = 1
    for i, k, s, p, d in zip(dims[-rank:], kernel, stride, padding, dilation, strict=True):
        out *= windows(i, k, s, p, d, ceil)
    return numel(dims[:-rank]) * out, numel(tuple(kernel))


def windows(
    size: int, kernel: int, stride: int, padding: int = 0, dilation: int = 1, ceil: bool = False
) -> int:
    """Windows along one dimension; with `ceil` also one that reaches beyond the end, if it starts inside."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if min(kernel, stride, dilation) < 1 or padding < 0:
        raise Missing("no_concrete_inputs", "the recorded windows have no size, or do not move")
    if room < 0:
        raise Missing("no_shapes", "a window is recorded that is larger than the input")
    if not ceil:
        return room // stride + 1
    count = quotient(room, stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


@op_cost(
    "aten::max_pool2d_with_indices",
    "aten::max_pool3d_with_indices",
    "aten::avg_pool2d",
    "aten::avg_pool3d",
    source=_SOURCE,
)
def pool(call: OpCall) -> Cost:
    """Maximum or mean of each window

    FLOPs = taps an output element (the window's size)
    Bytes = input read, output written; a maximum's int64 positions too
    Assumes no element is skipped by strides larger than the window.
    """
    dims = shape(call, 0)
    rank = 3 if "3d" in call.name else 2
    if not call.concrete and call.output is not None:
        size, taps = numel(call.output), 1
        note = f"window was not recorded; output shape proved by {call.output_from}"
    else:
        (size, taps), note = _pooled(call, dims, rank), ""
    written = size * (itemsize(call, 0) + (8 if "indices" in call.name else 0))
    return Cost(size * taps, bytes_read(call, 0), written, note=note)


@op_cost(
    *(f"aten::{n}" for n in _POOLS if n not in ("avg_pool2d", "avg_pool3d")),
    "aten::adaptive_avg_pool1d",
    "aten::adaptive_avg_pool2d",
    "aten::adaptive_max_pool1d",
    source=_SOURCE,
    role="composite",
)
def pool_entry(call: OpCall) -> Cost:
    """A pooling entry point, where it launches its kernel itself (oneDNN, cuDNN)

    FLOPs = taps an output element
    Bytes = input read, output written
    Assumes no positions are written.
    """
    dims, rank = shape(call, 0), int(call.name[-2])
    if "adaptive" in call.name:
        return _adaptive(call, dims, rank)
    size, taps = _pooled(call, dims, rank)
    return Cost(size * taps, bytes_read(call, 0), size * itemsize(call, 0))


@op_cost(
    "aten::_adaptive_avg_pool2d",
    "aten::_adaptive_avg_pool3d",
    "aten::adaptive_max_pool2d",
    "aten::adaptive_max_pool3d",
    source=_SOURCE,
)
def adaptive_pool(call: OpCall) -> Cost:
    """Windows chosen so that the output has a given size

    FLOPs = 1 an input element
    Bytes = input read, output written; a maximum's int64 positions too
    Assumes windows that do not overlap.
    """
    return _adaptive(call, shape(call, 0), 3 if "3d" in call.name else 2)


def _adaptive(call: OpCall, dims: Shape, rank: int) -> Cost:
    size = numel(dims[:-rank]) * numel(tuple(each(call, 1, rank)))
    written = size * (itemsize(call, 0) + (8 if "max" in call.name else 0))
    return Cost(numel(dims), bytes_read(call, 0), written)


@op_cost(
    "aten::max_pool2d_with_indices_backward",
    "aten::max_pool3d_with_indices_backward",
    "aten::avg_pool2d_backward",
    "aten::avg_pool3d_backward",
    "aten::_adaptive_avg_pool2d_backward",
    "aten::_adaptive_avg_pool3d_backward",
    "aten::adaptive_max_pool2d_backward",
    "aten::adaptive_max_pool3d_backward",
    "aten::fractional_max_pool2d_backward",
    "aten::fractional_max_pool3d_backward",
    source=_SOURCE,
)
def pool_backward(call: OpCall) -> Cost:
    """The gradient put back where it came from

    FLOPs = 1 a gradient element
    Bytes = gradient (and positions, 8 bytes each) read, a gradient of the input's size written
    Assumes the input itself is not read.
    """
    recorded(call, 0, 1)
    grad = shape(call, 0)
    positions = 8 * numel(grad) if "max" in call.name else 0
    return Cost(numel(grad), bytes_read(call, 0) + positions, bytes_of(call, 1))


@op_cost("aten::fractional_max_pool2d", "aten::fractional_max_pool3d", source=_SOURCE)
def fractional_pool(call: OpCall) -> Cost:
    """The maximum of windows laid at random, with int64 positions

    FLOPs = 1 an input element
    Bytes = input and random samples read, output and positions written
    Assumes every input element is in some window.
    """
    recorded(call, 0, 3)
    dims, rank = shape(call, 0), int(call.name[-2])
    size = numel(dims[:-rank]) * numel(tuple(each(call, 2, rank)))
    return Cost(numel(dims), bytes_read(call, 0) + bytes_read(call, 3), size * (itemsize(call, 0) + 8))


@op_cost("aten::max_unpool2d", "aten::max_unpool3d", source=_SOURCE)
def unpool(call: OpCall) -> Cost:
    """Maxima put back where they came from, zeros elsewhere

    FLOPs = 0
    Bytes = values and int64 positions read, the larger result written
    Assumes the zeros are written by the op.
    """
    recorded(call, 0, 1)
    dims, rank = shape(call, 0), int(call.name[-2])
    size = numel(dims[:-rank]) * numel(tuple(each(call, 2, rank)))
    return Cost(0, bytes_read(call, 0) + bytes_read(call, 1), size * itemsize(call, 0))
