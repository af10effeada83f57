"""Products of training packages: groups of rows whose sizes are data, 8 bits, Transformer Engine's entry."""

from __future__ import annotations

import msgspec

from traceanalyzer.cost.formulas.matmul import of_groups
from traceanalyzer.cost.registry import op_cost
from traceanalyzer.cost.tensors import (
    agree,
    bytes_of,
    bytes_read,
    dtype,
    flag,
    has,
    itemsize,
    matrix_precision,
    numel,
    ranked,
    shape,
    tensors,
)
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE, SCALAR_TYPES

_PRIMUS = "AMD-AGI/Primus-Turbo: primus_turbo/pytorch/kernels/grouped_gemm, gemm/gemm_fp8_impl.py"


class Places(msgspec.Struct, frozen=True):
    """Where the arguments of a product of groups stand behind both operands."""

    groups: int  # lengths of the groups
    transposed: tuple[int, int]  # flags of both operands
    out_type: int = -1


_IN_16_BITS = Places(2, (4, 5))
_GROUPED = {
    "primus_turbo::grouped_gemm_impl": _IN_16_BITS,
    "primus_turbo_cpp_extension::ck_grouped_gemm": _IN_16_BITS,
    "primus_turbo_cpp_extension::hipblaslt_grouped_gemm": _IN_16_BITS,
    "primus_turbo::grouped_gemm_fp8_impl": Places(4, (6, 7), 8),
}
_OF_WEIGHTS = {
    "primus_turbo::grouped_gemm_variable_k_impl": _IN_16_BITS,
    "primus_turbo_cpp_extension::ck_grouped_gemm_variable_k": _IN_16_BITS,
    "primus_turbo::grouped_gemm_fp8_variable_k_impl": Places(4, (6, 7), 9),
}


def _result_size(call: OpCall, argument: int) -> int:
    """Bytes an element of the result: of the type asked for, else of the operands in 16 bits, else 2."""
    text = call.value(argument) if argument >= 0 else None
    asked = SCALAR_TYPES.get((text or "").strip())
    return ITEMSIZE[asked] if asked else max(itemsize(call, 0), 2)


@op_cost(*_GROUPED, role="composite", source=_PRIMUS)
def of_rows(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ B[g][k,n], each row with the matrix of its group; in 8 bits with scales

    FLOPs = 2*m*n*k over all rows, against the peak of A's type
    Bytes = A, B, scales and lengths read, C written; of B one group at least, one a row at most
    Assumes every row belongs to a group; which group is data.
    """
    at = _GROUPED[call.name]
    if len(shape(call, 1)) == 2:  # one entry serves both
        return of_weights(call)
    (m, k), (_, *sides) = ranked(call, 0, 2), ranked(call, 1, 3)
    n, inner = sides if flag(call, at.transposed[1]) else reversed(sides)
    agree(call, k, inner)
    read = sum(bytes_read(call, i) for i in tensors(call))
    precision = matrix_precision(dtype(call, 0))
    cost = Cost(2 * m * n * k, read, m * n * _result_size(call, at.out_type), "matrix", precision)
    return of_groups(call, cost, 1, m)


@op_cost(*_OF_WEIGHTS, role="composite", source=_PRIMUS)
def of_weights(call: OpCall) -> Cost:
    """C[g][k,n] = A[m,k]^T @ B[m,n] over the rows of each group: gradients of the matrices

    FLOPs = 2*m*n*k over all rows, against the peak of A's type
    Bytes = A, B, scales and lengths read, C written
    Assumes every row belongs to a group.
    """
    at = _OF_WEIGHTS.get(call.name) or _GROUPED[call.name]
    (m, k), (rows, n) = ranked(call, 0, 2), ranked(call, 1, 2)
    agree(call, m, rows)
    groups = shape(call, at.groups)[0]
    read = sum(bytes_read(call, i) for i in tensors(call))
    written = groups * k * n * _result_size(call, at.out_type)
    return Cost(2 * m * n * k, read, written, "matrix", matrix_precision(dtype(call, 0)))


@op_cost("primus_turbo::gemm_fp8_impl", role="composite", source=_PRIMUS)
def in_eight_bits(call: OpCall) -> Cost:
    """C[m,n] = scales * (A[m,k] @ B[k,n]), either transposed: (A, its scale, flag, B, its scale, flag)

    FLOPs = 2*m*n*k, against the fp8 peak
    Bytes = A, B and scales read, C of the type asked for written
    Assumes 16 bits where that type is not recorded.
    """
    a, b = ranked(call, 0, 2), ranked(call, 3, 2)
    k, m = a if flag(call, 2) else reversed(a)
    n, inner = b if flag(call, 5) else reversed(b)
    agree(call, k, inner)
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(2 * m * n * k, read, m * n * _result_size(call, 6), "matrix", "fp8")


@op_cost("tex_ts::te_gemm_ts", source="NVIDIA/TransformerEngine: pytorch/csrc/ts_fp8_op.cpp: te_gemm_ts")
def of_transformer_engine(call: OpCall) -> Cost:
    """D = B @ A^T, or without transposition, in 8 or 16 bits: (A, scale, .., flag of A, B, scale, .., D)

    FLOPs = 2 * elements of D * k, the rows of A, or its columns where it is transposed
    Bytes = A, B, their scales and the bias read, D written
    Assumes bytes are 8-bit floating-point numbers, and that D is not added to.
    """
    second = 4 if has(call, 4) else 5  # behind the number of A's scale, in newer versions
    result = 2 * second if second == 5 else 8
    a, d = ranked(call, 0, 2), shape(call, result)
    k = a[1] if flag(call, second - 1) else a[0]
    read = sum(bytes_read(call, i) for i in (0, 1, second, second + 1, 14 if second == 5 else 10))
    type_of_a = dtype(call, 0)
    precision = "fp8" if type_of_a == "uint8" else matrix_precision(type_of_a)
    return Cost(2 * numel(d) * k, read, bytes_of(call, result), "matrix", precision)
