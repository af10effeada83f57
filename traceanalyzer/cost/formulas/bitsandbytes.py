"""bitsandbytes: weights in 4 bits, activations in 8, and optimizers whose state is."""

from __future__ import annotations

from traceanalyzer.cost.registry import op_cost
from traceanalyzer.cost.tensors import (
    agree,
    bytes_of,
    bytes_read,
    count,
    dtype,
    has,
    itemsize,
    matrix_precision,
    numel,
    quotient,
    shape,
    tensors,
)
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE, SCALAR_TYPES

_SOURCE = "bitsandbytes/_ops.py: signatures and results"
_SCALE = 4  # bytes of a block's fp32 scale


def _asked(call: OpCall, index: int, default: str) -> int:
    """Bytes an element of the type in argument `index`."""
    text = call.concrete[index].strip() if index < len(call.concrete) else ""
    return ITEMSIZE[SCALAR_TYPES.get(text, default)]


def _read(call: OpCall) -> int:
    return sum(bytes_read(call, i) for i in tensors(call))


@op_cost("bitsandbytes::dequantize_4bit", "bitsandbytes::dequantize_blockwise", source=_SOURCE)
def dequantize(call: OpCall) -> Cost:
    """y = code[q] * scale of its block

    FLOPs = 1 an element
    Bytes = packed elements, scales and code read; y written
    Assumes bf16 where the type asked for is not recorded.
    """
    four = call.name.endswith("4bit")
    size = 2 * bytes_of(call, 0) if four else numel(shape(call, 0))
    out = 6 if four else 5  # of the variant that is given its result
    each = itemsize(call, out) if has(call, out) else _asked(call, 5 if four else 4, "bf16")
    read = sum(bytes_read(call, i) for i in tensors(call) if i < out)
    return Cost(size, read, size * each, "vector", "fp32")


@op_cost("bitsandbytes::quantize_4bit", "bitsandbytes::quantize_blockwise", source=_SOURCE)
def quantize(call: OpCall) -> Cost:
    """The nearest code of x / scale, the scale the largest element of a block

    FLOPs = 2 an element
    Bytes = x and code read; 4 or 8 bits an element and an fp32 scale a block written
    Assumes nothing.
    """
    four = call.name.endswith("4bit")
    size, block = numel(shape(call, 0)), count(call, 1 if four else 2)
    codes = quotient(size, 2) if four else size
    return Cost(2 * size, _read(call), codes + quotient(size, block) * _SCALE, "vector", "fp32")


@op_cost("bitsandbytes::gemv_4bit", "bitsandbytes::gemm_4bit", source=_SOURCE)
def packed_product(call: OpCall) -> Cost:
    """Y[.., n] = X[.., k] @ dequantized W of n*k elements in 4 bits

    FLOPs = 2*rows*n*k
    Bytes = X, the packed weight, scales, code and bias read, Y written
    Assumes every operand is read once.
    """
    x = shape(call, 0)
    rows, inner = numel(x[:-1]), x[-1]
    columns = quotient(2 * numel(shape(call, 1)) * itemsize(call, 1), inner)
    vector = call.name.endswith("gemv_4bit")
    given = [i for i in tensors(call) if not (vector and i == 6)]  # the result, where it is given
    read = sum(bytes_read(call, i) for i in given)
    written = rows * columns * itemsize(call, 0)
    flops = 2 * rows * columns * inner
    if vector:
        return Cost(flops, read, written, "vector", "fp32")
    return Cost(flops, read, written, "matrix", matrix_precision(dtype(call, 0)))


@op_cost("bitsandbytes::int8_linear_matmul", "bitsandbytes::int8_scaled_mm", source=_SOURCE)
def integer_product(call: OpCall) -> Cost:
    """Y[.., n] = X[.., k] @ W[n, k] in int8; scaled, of the type asked for

    FLOPs = 2*rows*n*k, against the int8 peak
    Bytes = X, W, statistics and bias read; int32, or the type asked for, written
    Assumes fp16 where none is asked for.
    """
    x, w = shape(call, 0), shape(call, 1)
    agree(call, x[-1], w[-1])
    size = numel(x[:-1]) * w[0]
    scaled = call.name.endswith("scaled_mm")
    read = sum(bytes_read(call, i) for i in tensors(call) if scaled or i < 2)
    each = _asked(call, 5, "fp16") if scaled else 4
    return Cost(2 * size * x[-1], read, size * each, "matrix", "int8")


@op_cost("bitsandbytes::int8_vectorwise_quant", "bitsandbytes::int8_double_quant", source=_SOURCE)
def quantize_rows(call: OpCall) -> Cost:
    """x / largest of its row in int8; double: by columns as well

    FLOPs = 2 an element
    Bytes = x read; int8 elements and an fp32 statistic a row (double: and a column) written
    Assumes no outliers are listed.
    """
    dims = shape(call, 0)
    size, rows = numel(dims), numel(dims[:-1])
    twice = call.name.endswith("double_quant")
    written = size * (1 + twice) + _SCALE * (rows + twice * dims[-1])
    return Cost(2 * size, _read(call), written, "vector", "fp32")


@op_cost("bitsandbytes::int8_vectorwise_dequant", "bitsandbytes::int8_mm_dequant", source=_SOURCE)
def dequantize_rows(call: OpCall) -> Cost:
    """q * statistic of its row (and of its column)

    FLOPs = 1 an element, 2 of a product's result
    Bytes = q, statistics and bias read; fp32, or of a product the type asked for, written
    Assumes fp16 where none is asked for.
    """
    size = numel(shape(call, 0))
    product = call.name.endswith("mm_dequant")
    each = _asked(call, 3, "fp16") if product else 4
    return Cost((1 + product) * size, _read(call), size * each, "vector", "fp32")


@op_cost(
    "bitsandbytes::optimizer_update_32bit", "bitsandbytes::optimizer_update_8bit_blockwise", source=_SOURCE
)
def optimizer(call: OpCall) -> Cost:
    """One step of one parameter, with one or two states; in 8 bits these have codes and scales

    FLOPs = 14 a parameter
    Bytes = gradient and all of these read; parameter, states and, in 8 bits, their scales written
    Assumes an optimizer like Adam.
    """
    eight = call.name.endswith("8bit_blockwise")
    states = [i for i in (2, 3, 4) if has(call, i)]
    scales = [i for i in tensors(call) if i > 4 and dtype(call, i) == "fp32" and not _is_code(call, i)]
    written = sum(bytes_of(call, i) for i in (*states, *(scales if eight else ())))
    return Cost(14 * numel(shape(call, 1)), _read(call), written, "vector", "fp32")


def _is_code(call: OpCall, i: int) -> bool:
    """The 256 values of an 8-bit code, which come before the scales of the blocks."""
    fp32 = [j for j in tensors(call) if j > 4 and dtype(call, j) == "fp32"]
    return i in fp32[: len(fp32) // 2]
