"""Images on another grid: interpolation, sampling, patches as columns, borders and their gradients."""

from __future__ import annotations

from math import prod

from traceanalyzer.cost.formulas.pooling import windows
from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    bytes_of,
    bytes_read,
    each,
    is_true,
    itemsize,
    numel,
    recorded,
    shape,
    sizes,
)
from traceanalyzer.records import Cost, OpCall

_SOURCE = "torch/aten/src/ATen/native/UpSample.h, GridSamplerUtils.h, im2col_shape_check.h, PadNd.cpp"
_UPSAMPLERS = (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_bicubic2d", "upsample_trilinear3d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
    "_upsample_lanczos2d_aa",
)  # fmt: skip
_TAPS = (("lanczos", 36), ("bicubic", 16), ("trilinear", 8), ("bilinear", 4), ("linear", 2))


@op_cost(*(f"aten::{name}" for name in _UPSAMPLERS), source=_SOURCE)
def resample(call: OpCall) -> Cost:
    """The input on another grid

    FLOPs = taps an output element: 1 nearest, 2 linear, 4 bilinear, 8 trilinear, 16 bicubic, 36 lanczos
    Bytes = input read, output written
    Assumes every input element is used; an antialiased one that shrinks has more taps.
    """
    taps = next((n for word, n in _TAPS if word in call.name), 1)
    size = numel(shape(call, 0)[:2]) * numel(sizes(call, 1))
    return Cost(size * taps, bytes_read(call, 0), size * itemsize(call, 0))


@op_cost(*(f"aten::{name}_backward" for name in _UPSAMPLERS), source=_SOURCE)
def resample_backward(call: OpCall) -> Cost:
    """The gradient on the input's grid

    FLOPs = 1 a gradient element
    Bytes = gradient read, a gradient of the input's size written
    Assumes the input's size, an argument, is recorded.
    """
    return Cost(numel(shape(call, 0)), bytes_read(call, 0), numel(sizes(call, 2)) * itemsize(call, 0))


def _corners(rank: int) -> int:
    """Neighbors that a linear interpolation weighs in images of 2 or 3 dimensions, samples and channels."""
    if rank not in (4, 5):
        raise Missing("no_shapes", f"images of {rank} dimensions are recorded")
    return 1 << (rank - 2)


@op_cost("aten::grid_sampler_2d", "aten::grid_sampler_3d", "aten::cudnn_grid_sampler", source=_SOURCE)
def grid_sample(call: OpCall) -> Cost:
    """The input at places that a grid [n, ..., 2 or 3] gives

    FLOPs = taps an output element: 4 in two dimensions, 8 in three
    Bytes = input and grid read, output written
    Assumes linear interpolation, and that every input element is used.
    """
    dims, places = shape(call, 0), shape(call, 1)
    size = dims[0] * dims[1] * numel(places[1:-1])
    read = bytes_read(call, 0) + bytes_read(call, 1)
    return Cost(size * _corners(len(dims)), read, size * itemsize(call, 0))


@op_cost(
    "aten::grid_sampler_2d_backward",
    "aten::grid_sampler_3d_backward",
    "aten::cudnn_grid_sampler_backward",
    source=_SOURCE,
)
def grid_sample_backward(call: OpCall) -> Cost:
    """Gradients of the input and of the grid

    FLOPs = twice the taps a gradient element
    Bytes = gradient, input and grid read, both gradients written
    Assumes both are wanted where the mask is not recorded.
    """
    recorded(call, 0, 1, 2)
    source = 0 if "cudnn" in call.name else 1
    grad = 2 if "cudnn" in call.name else 0
    mask = call.concrete[6] if len(call.concrete) > 6 else ""
    wanted = [is_true(text) for text in mask.strip("[] ").split(",")] if "," in mask else [True, True]
    read = sum(bytes_read(call, i) for i in range(3))
    written = bytes_of(call, source) * wanted[0] + bytes_of(call, source + 1) * wanted[1]
    return Cost(2 * _corners(len(shape(call, source))) * numel(shape(call, grad)), read, written)


def _windows(call: OpCall, extent: tuple[int, ...], first: int) -> tuple[int, int]:
    """(windows, elements of one) over `extent`; kernel, dilation, padding, stride from argument `first`."""
    rank = len(extent)
    kernel, dilation, padding, stride = (each(call, first + i, rank) for i in range(4))
    columns = zip(extent, kernel, stride, padding, dilation, strict=True)
    return prod(windows(*column) for column in columns), prod(kernel)


@op_cost("aten::im2col", source=_SOURCE)
def columns(call: OpCall) -> Cost:
    """Patches of an image as columns

    FLOPs = 0
    Bytes = input read, every patch written in full
    Assumes every input element is in some patch.
    """
    dims = shape(call, 0)
    places, taps = _windows(call, dims[-2:], 1)
    return Cost(0, bytes_read(call, 0), numel(dims[:-2]) * places * taps * itemsize(call, 0))


@op_cost("aten::col2im", source=_SOURCE)
def image_of_columns(call: OpCall) -> Cost:
    """Patches added up where they lay in an image

    FLOPs = 1 an input element
    Bytes = patches read, the image written
    Assumes the patches of a pixel are added before it is written.
    """
    dims, extent = shape(call, 0), sizes(call, 1)
    _, taps = _windows(call, extent, 2)
    size = numel(dims[:-1]) // taps * numel(extent)
    return Cost(numel(dims), bytes_read(call, 0), size * itemsize(call, 0))


@op_cost(
    "aten::reflection_pad1d_backward",
    "aten::reflection_pad2d_backward",
    "aten::reflection_pad3d_backward",
    "aten::replication_pad1d_backward",
    "aten::replication_pad2d_backward",
    "aten::replication_pad3d_backward",
    source=_SOURCE,
)
def pad_backward(call: OpCall) -> Cost:
    """Gradients of a border added to those of the elements it repeats

    FLOPs = 1 a gradient element
    Bytes = gradient read, a gradient of the input's size written
    Assumes the input itself is not read.
    """
    recorded(call, 0, 1)
    return Cost(numel(shape(call, 0)), bytes_read(call, 0), bytes_of(call, 1))
