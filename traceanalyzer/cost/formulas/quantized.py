"""Quantization: elements rounded to few levels, in training that is aware of it; products in 4 bits."""

from __future__ import annotations

from traceanalyzer.cost.registry import op_cost
from traceanalyzer.cost.tensors import (
    bytes_of,
    bytes_read,
    count,
    dtype,
    itemsize,
    matrix_precision,
    numel,
    recorded,
    shape,
    tensors,
)
from traceanalyzer.records import Cost, OpCall

_SOURCE = "torch/aten/src/ATen/native/quantized: FakeQuantPerTensorAffine.cpp, FakeQuantPerChannelAffine.cpp"


_TENSORS = {  # how many inputs of each are tensors
    "aten::fake_quantize_per_tensor_affine_cachemask": 1,
    "aten::_fused_moving_avg_obs_fq_helper": 7,
    "aten::_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": 4,
    "aten::fake_quantize_per_channel_affine_cachemask": 3,
}


@op_cost(
    "aten::fake_quantize_per_tensor_affine_cachemask",
    "aten::_fused_moving_avg_obs_fq_helper",
    "aten::_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    "aten::fake_quantize_per_channel_affine_cachemask",
    source=_SOURCE,
)
def fake_quantize(call: OpCall) -> Cost:
    """Elements rounded to the levels of a scale, and a mask of those within range

    FLOPs = 4 an element
    Bytes = x, scales and zero points read; y and a byte an element of mask written
    Assumes what observes the range is an op of its own.
    """
    recorded(call, *range(_TENSORS[call.name]))
    size = numel(shape(call, 0))
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(4 * size, read, bytes_of(call, 0) + size, "vector", "fp32")


@op_cost(
    "aten::_fake_quantize_learnable_per_tensor_affine",
    "aten::_fake_quantize_learnable_per_channel_affine",
    "aten::_fake_quantize_learnable_per_tensor_affine_backward",
    "aten::_fake_quantize_learnable_per_channel_affine_backward",
    source=_SOURCE,
)
def learnable_quantize(call: OpCall) -> Cost:
    """Elements rounded to the levels of a scale that is learned, or the gradients of x, scale and zero point

    FLOPs = 4 an element, 10 of the gradients
    Bytes = inputs read; y, or three gradients of x's size, written
    Assumes the sums of the scale's gradients are ops of their own.
    """
    recorded(call, *range(4 if call.name.endswith("_backward") else 3))
    backward = call.name.endswith("_backward")
    read = sum(bytes_read(call, i) for i in tensors(call))
    written = bytes_of(call, 0) * (3 if backward else 1)
    return Cost((10 if backward else 4) * numel(shape(call, 0)), read, written, "vector", "fp32")


@op_cost("aten::_weight_int4pack_mm_for_cpu", source="torch/aten/src/ATen/native/cpu/int4mm_kernel.cpp")
def packed_bytes_product(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ dequantized W, two weights a byte in [n, k/2]

    FLOPs = 2*m*n*k, against the peak of A's type
    Bytes = A, the packed weight, scales and zeros read, C written
    Assumes every operand is read once.
    """
    recorded(call, 0, 1, 3)
    return _product(call, shape(call, 1)[0])


@op_cost("aten::_dyn_quant_matmul_4bit", source="torch/aten/src/ATen/native/cpu/int4mm_kernel.cpp")
def dynamic_product(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ dequantized W, A quantized as it is read

    FLOPs = 2*m*n*k, against the peak of A's type
    Bytes = A and the packed weight with its scales read, C written
    Assumes every operand is read once.
    """
    recorded(call, 0, 1)
    return _product(call, count(call, 4))


@op_cost("aten::_mixed_dtypes_linear", source="torch/aten/src/ATen/native/cuda/MixedDtypesLinear.cu")
def mixed_types_linear(call: OpCall) -> Cost:
    """Y[.., n] = X[.., k] @ dequantized W, a scale for each of n columns

    FLOPs = 2*rows*n*k, against the peak of X's type
    Bytes = X, W, scales and bias read, Y written
    Assumes every operand is read once.
    """
    recorded(call, 0, 1, 2)
    return _product(call, numel(shape(call, 2)))


def _product(call: OpCall, columns: int) -> Cost:
    x = shape(call, 0)
    rows = numel(x[:-1])
    read = sum(bytes_read(call, i) for i in tensors(call))
    written = rows * columns * itemsize(call, 0)
    return Cost(2 * rows * columns * x[-1], read, written, "matrix", matrix_precision(dtype(call, 0)))
