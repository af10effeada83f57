"""Products with half of the weights left out: two of any four are kept, with two bits that say which."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    bytes_of,
    bytes_read,
    dtype,
    itemsize,
    matrix_precision,
    numel,
    quotient,
    ranked,
    recorded,
    shape,
    tensors,
)
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE, SCALAR_TYPES

_CUTLASS = "torch/aten/src/ATen/native/sparse/cuda/SparseSemiStructuredOps.cu"
_CUSPARSELT = "torch/aten/src/ATen/native/sparse/cuda/cuSPARSELtOps.cpp"
# Sixteen dense elements are kept in eight, and two bits each in the place of one (of two, in 8 bits).
_PER_16 = {1: 10, 2: 9, 4: 9}


def _per_16(call: OpCall) -> int:
    bytes_per_16 = _PER_16.get(itemsize(call, 0))
    if bytes_per_16 is None:
        raise Missing("no_dtype", f"cuSPARSELt compresses no {dtype(call, 0)}, which is recorded")
    return bytes_per_16


def _cost(call: OpCall, index: int, rows: int, columns: int, inner: int, asked: int) -> Cost:
    """FLOPs of the products that are made, at the dense peak; the result of the type asked for."""
    out_dtype = SCALAR_TYPES.get(call.concrete[asked].strip()) if asked < len(call.concrete) else None
    each = ITEMSIZE[out_dtype or dtype(call, index)]
    read = sum(bytes_read(call, i) for i in tensors(call))
    size = rows * columns
    return Cost(size * inner, read, size * each, "matrix", matrix_precision(dtype(call, index)))


@op_cost("aten::_sparse_semi_structured_mm", "aten::_sparse_semi_structured_addmm", source=_CUTLASS)
def semi_structured_product(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ B[k,n], A kept as [m,k/2] with its places

    FLOPs = m*n*k: half of the dense product's, compared with the dense peak
    Bytes = A's kept elements and their places, B and what is added read, C written
    Assumes every operand is read once.
    """
    recorded(call, *range(4 if "addmm" in call.name else 3))
    first = 1 if "addmm" in call.name else 0
    (rows, half), columns = ranked(call, first, 2), shape(call, first + 2)[-1]
    return _cost(call, first + 2, rows, columns, 2 * half, 6 if first else 3)


@op_cost("aten::_sparse_semi_structured_linear", source=_CUTLASS)
def semi_structured_linear(call: OpCall) -> Cost:
    """Y[.., n] = X[.., k] @ W, W kept as [n,k/2] with its places, and a bias

    FLOPs = rows*n*k: half of the dense product's, compared with the dense peak
    Bytes = X, W's kept elements and their places, and the bias read, Y written
    Assumes every operand is read once.
    """
    recorded(call, 0, 1, 2)
    x, columns = shape(call, 0), shape(call, 1)[0]
    return _cost(call, 0, numel(x[:-1]), columns, x[-1], 5)


@op_cost("aten::_cslt_sparse_mm", source=_CUSPARSELT)
def compressed_product(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ B[k,n], A compressed by cuSPARSELt

    FLOPs = m*n*k: half of the dense product's, compared with the dense peak
    Bytes = A's kept elements with their places, B and the bias read, C written
    Assumes 9/16 of A's elements in 16 bits, 10/16 in 8, as the library lays them out.
    """
    (inner, columns), kept = ranked(call, 1, 2), numel(shape(call, 0))
    rows = quotient(kept * 16, _per_16(call) * inner)
    return _cost(call, 1, rows, columns, inner, 4)


@op_cost("aten::_cslt_compress", source=_CUSPARSELT)
def compress(call: OpCall) -> Cost:
    """A tensor of which two of any four elements are zero, without them

    FLOPs = 0
    Bytes = tensor read; 9/16 of its elements in 16 bits, 10/16 in 8, written
    Assumes the layout of cuSPARSELt.
    """
    return Cost(0, bytes_read(call, 0), bytes_of(call, 0) * _per_16(call) // 16)


@op_cost("aten::_sparse_semi_structured_tile", source=_CUTLASS)
def prune(call: OpCall) -> Cost:
    """The two largest of any four elements, by rows and by columns, with their places

    FLOPs = 1 an element
    Bytes = tensor read; half of its elements and two bits an element of places, twice, written
    Assumes the masks of threads, which are small, are left out.
    """
    size = numel(shape(call, 0))
    return Cost(size, bytes_read(call, 0), bytes_of(call, 0) + size // 4 * 2)
