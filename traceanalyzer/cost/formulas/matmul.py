"""Matrix products: 2MNK FLOPs, each operand read once, the product written once."""

from __future__ import annotations

from msgspec.structs import replace

from traceanalyzer.cost.registry import Missing, between, op_cost
from traceanalyzer.cost.tensors import (
    Sizes,
    agree,
    broadcast,
    bytes_read,
    dtype,
    has,
    integers,
    itemsize,
    matrix_precision,
    numel,
    quotient,
    ranked,
    recorded,
    shape,
    shapes_in,
)  # fmt: skip
from traceanalyzer.records import Cost, Engine, OpCall
from traceanalyzer.records.units import ITEMSIZE, SCALAR_TYPES, canonical_dtype

_TORCH = "torch/utils/flop_counter.py"
_BYTE_SCALES = (2, 3)  # ScalingType.BlockWise1x16 (e4m3) and BlockWise1x32 (e8m0)


def _product(
    call: OpCall, a: int, b: int, *extra: int, out: int | None = None, engine: Engine = "matrix"
) -> Cost:
    """A[.., m, k] @ B[.., k, n] with batch dims broadcast; `extra` inputs are read once more each."""
    left, right = shape(call, a), shape(call, b)
    agree(call, left[-1], right[-2])
    batch = broadcast(left[:-2], right[:-2])
    size = numel(batch) * left[-2] * right[-1]
    written = size * (out if out is not None else itemsize(call, a))
    read = bytes_read(call, a) + bytes_read(call, b) + sum(bytes_read(call, i) for i in extra)
    return Cost(2 * size * left[-1], read, written, engine, matrix_precision(dtype(call, a)))


@op_cost("aten::mm", "aten::bmm", source=f"{_TORCH}: mm_flop, bmm_flop")
def product(call: OpCall) -> Cost:
    """C[b,m,n] = A[b,m,k] @ B[b,k,n]

    FLOPs = 2*b*m*n*k           (one multiply and one add per term)
    Bytes = s*(b*m*k + b*k*n) read, s*b*m*n written; s = bytes per element
    Assumes every operand is read once: the floor, not what the caches did.
    """
    return _product(call, 0, 1, out=_asked_size(call, 2))


def _asked_size(call: OpCall, index: int) -> int | None:
    """Bytes an element of the result where an `out_dtype` argument asks for a type (mm.dtype and others)."""
    asked = SCALAR_TYPES.get(call.concrete[index].strip()) if index < len(call.concrete) else None
    return ITEMSIZE[asked] if asked else None


@op_cost(
    "aten::addmm",
    "aten::baddbmm",
    "aten::addmm_",
    "aten::baddbmm_",
    "aten::_addmm_activation",
    source=f"{_TORCH}: addmm_flop, baddbmm_flop",
)
def product_plus(call: OpCall) -> Cost:
    """C = beta*S + alpha*(A @ B), S a bias vector or a matrix

    FLOPs = 2*b*m*n*k           (adding S is not counted, as torch does not)
    Bytes = S, A and B read, C written
    Assumes beta is not 0 where the trace does not say.
    """
    recorded(call, 0)
    with_out = has(call, len(call.shapes) - 1)
    typed = call.name != "aten::_addmm_activation" and len(call.concrete) - with_out == 6
    beta_index = 4 if typed else 3  # the overload with `out_dtype` has it before beta
    beta = call.concrete[beta_index] if len(call.concrete) > beta_index else ""
    extra = () if beta in ("0", "0.", "0.0") else (0,)
    return _product(call, 1, 2, *extra, out=_asked_size(call, 3) if typed else None)


@op_cost(
    "aten::linear",
    "aten::matmul",
    "mkldnn::_linear_pointwise",
    "aten::mkldnn_linear",
    "mkl::_mkl_linear",
    role="composite",
    source=f"{_TORCH}: mm_flop",
)
def linear(call: OpCall) -> Cost:
    """Y[.., n] = X[.., k] @ W + bias, where it launches the product itself

    FLOPs = 2*rows*n*k
    Bytes = X, W and bias read, Y written
    Assumes W is [n, k] for a linear layer, [k, n] for a matmul, and [k] for a matrix-vector product.
    """
    x, w = shape(call, 0), shape(call, 1)
    if call.name == "aten::matmul":
        return _matmul(call, x, w)
    agree(call, x[-1], w[-1])
    size = numel(x[:-1]) * w[0]
    read = bytes_read(call, 0) + bytes_read(call, 1) + (bytes_read(call, 2) if has(call, 2) else 0)
    return Cost(2 * size * x[-1], read, size * itemsize(call, 0), "matrix", matrix_precision(dtype(call, 0)))


def _matmul(call: OpCall, x: Sizes, w: Sizes) -> Cost:
    if len(x) >= 2 and len(w) >= 2:
        return _product(call, 0, 1)
    inner = x[-1]
    agree(call, inner, w[-1] if len(w) == 1 else w[-2])
    outer = numel(x[:-1]) if len(w) == 1 else numel(w[:-2]) * w[-1]
    read = bytes_read(call, 0) + bytes_read(call, 1)
    written = outer * itemsize(call, 0)
    return Cost(2 * outer * inner, read, written, "vector", matrix_precision(dtype(call, 0)))


@op_cost(
    "aten::mv", "aten::dot", "aten::vdot", source="definition of the product: one multiply, one add a term"
)
def matrix_vector(call: OpCall) -> Cost:
    """y[m] = A[m,k] @ x[k], or the scalar x . y

    FLOPs = 2*m*k
    Bytes = A and x read, y written
    Assumes the vector engine: no matrix instruction has a dimension of one.
    """
    recorded(call, 0, 1)
    a = shape(call, 0)
    out = a[0] if len(a) == 2 else 1
    read = bytes_read(call, 0) + bytes_read(call, 1)
    return Cost(2 * numel(a), read, out * itemsize(call, 0), "vector", matrix_precision(dtype(call, 0)))


@op_cost("aten::addmv", "aten::addmv_", source="definition of the product: one multiply, one add a term")
def matrix_vector_plus(call: OpCall) -> Cost:
    """y[m] = beta*s + alpha*(A[m,k] @ x[k])

    FLOPs = 2*m*k
    Bytes = s, A and x read, y written
    Assumes beta is not 0.
    """
    recorded(call, 0, 1, 2)
    a = shape(call, 1)
    read = bytes_read(call, 0) + bytes_read(call, 1) + bytes_read(call, 2)
    return Cost(2 * numel(a), read, a[0] * itemsize(call, 1), "vector", matrix_precision(dtype(call, 1)))


@op_cost("aten::addr", "aten::addr_", "aten::ger", "aten::outer", source="definition of the outer product")
def outer_product(call: OpCall) -> Cost:
    """C[m,n] = S + x[m] * y[n]

    FLOPs = 2*m*n with S, m*n without
    Bytes = inputs read, C written
    Assumes the vector engine.
    """
    first = 1 if call.name.startswith("aten::addr") else 0
    recorded(call, 0)
    m, n = shape(call, first)[0], shape(call, first + 1)[0]
    read = sum(bytes_read(call, i) for i in range(first + 2))
    return Cost((1 + first) * m * n, read, m * n * itemsize(call, first), "vector", "fp32")


@op_cost("aten::_scaled_mm", source="pytorch/aten/src/ATen/native/cuda/ScaledBlas.cpp; " + _TORCH)
def scaled_product(call: OpCall) -> Cost:
    """C[m,n] = scale_a * scale_b * (A[m,k] @ B[k,n]) in 8 or 4 bits

    FLOPs = 2*m*n*k, against the 8-bit (or 4-bit) peak
    Bytes = A, B, their scales and the bias read, C written
    Assumes bf16 output where its type is not recorded; A's type where none was asked for.
    """
    recorded(call, 0, 1, 2, 3)
    read = sum(bytes_read(call, i) for i in range(min(len(call.shapes), 6)) if has(call, i))
    named = [canonical_dtype(call.types[i]) for i in range(len(call.types)) if i >= 6]
    out = next((t for t in named if t), None)
    size = ITEMSIZE[out] if out else _scaled_size(call, 6)
    return _scaled(call, read, size)


def _scaled(call: OpCall, read: int, size: int) -> Cost:
    (m, k), (inner, n) = ranked(call, 0, 2), ranked(call, 1, 2)
    agree(call, k, inner)
    four_bit = dtype(call, 0) == "fp4"
    flops = 2 * m * n * k * (2 if four_bit else 1)
    return Cost(flops, read, m * n * size, "matrix", "fp4" if four_bit else "fp8")


def _scaled_size(call: OpCall, index: int) -> int:
    """Bytes an element of the result: of the type asked for, else A's; bf16 where nothing is recorded."""
    return (_asked_size(call, index) or itemsize(call, 0)) if len(call.concrete) > index else 2


@op_cost("aten::_scaled_mm_v2", source="pytorch/aten/src/ATen/native/cuda/ScaledBlas.cpp; " + _TORCH)
def scaled_product_of_recipes(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ B[k,n] in 8 or 4 bits, with lists of scales

    FLOPs = 2*m*n*k, against the 8-bit (or 4-bit) peak
    Bytes = A, B, their scales and the bias read, C written
    Assumes that a scale is a byte for blocks of 16 or 32, else fp32 (torch.nn.functional.ScalingType).
    """
    read = sum(bytes_read(call, i) for i in (0, 1, 8)) + _scale_bytes(call, 2, 3) + _scale_bytes(call, 5, 6)
    return _scaled(call, read, _scaled_size(call, 9))


def _scale_bytes(call: OpCall, scales: int, recipes: int) -> int:
    """Bytes of a list of scales, whose types a trace leaves out, by their recipes."""
    sizes = [1 if recipe in _BYTE_SCALES else 4 for recipe in integers(call, recipes)]
    items = shapes_in(call, scales)
    agree(call, len(sizes), len(items))
    return sum(s * numel(dims) for s, dims in zip(sizes, items, strict=True))


@op_cost("aten::_int_mm", source=f"{_TORCH}: mm_flop; output is int32")
def integer_product(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ B[k,n], int8 in, int32 out

    FLOPs = 2*m*n*k, against the int8 peak
    Bytes = m*k + k*n read, 4*m*n written
    Assumes every operand is read once.
    """
    return _product(call, 0, 1, out=4)


@op_cost(
    "aten::_weight_int4pack_mm",
    "aten::_weight_int8pack_mm",
    source="pytorch/aten/src/ATen/native/cuda/int4mm.cu: layouts of the packed weight",
)
def packed_weight_product(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ dequantized W[k,n]

    FLOPs = 2*m*n*k, against the peak of A's type
    Bytes = A, the packed weight, scales and zeros read, C written
    Assumes packed int4 weights of [n/8, k/(16*inner), 32, inner/2] int32, int8 weights of [n, k].
    """
    recorded(call, 0, 1, 2 if "int8" in call.name else 3)
    m, k = ranked(call, 0, 2)
    weight = shape(call, 1)
    n = weight[0] if "int8" in call.name else quotient(numel(weight) * 8, k)
    read = sum(bytes_read(call, i) for i in range(len(call.shapes)) if has(call, i))
    return Cost(2 * m * n * k, read, m * n * itemsize(call, 0), "matrix", matrix_precision(dtype(call, 0)))


@op_cost(
    "aten::_grouped_mm",
    "aten::_scaled_grouped_mm",
    source="pytorch/aten/src/ATen/native/cuda/GroupedBlas.cpp: operand ranks and outputs",
)
def grouped_product(call: OpCall) -> Cost:
    """Products of groups whose sizes are data: 2-D x 3-D tokens, 2-D x 2-D weight gradient, 3-D x 3-D batch

    FLOPs = 2*m*n*k over all rows
    Bytes = both operands, offsets, scales and bias read, the product written; of 3-D weights those of one
    group at least, of as many groups as there are rows at most
    Assumes every row belongs to a group; which group is data.
    """
    recorded(call, *range(4 if "scaled" in call.name else 2))
    a, b = shape(call, 0), shape(call, 1)
    groups = max((shape(call, i)[0] for i in range(2, len(call.shapes)) if has(call, i)
                  and dtype(call, i) == "int32"), default=1)  # fmt: skip
    out = {
        (2, 3): a[0] * b[-1], (3, 3): a[0] * a[1] * b[-1], (3, 2): a[1] * b[-1],
        (2, 2): groups * a[0] * b[-1],
    }.get((len(a), len(b)))  # fmt: skip
    if out is None:
        raise Missing("no_shapes", f"operands of {len(a)} and {len(b)} dimensions are recorded")
    terms = a[-1] * (a[0] * b[-1] if (len(a), len(b)) == (2, 2) else out)
    scaled = call.name == "aten::_scaled_grouped_mm"  # scales before the offsets, bf16 where no type is asked
    size = _asked_size(call, 7 if scaled else 4) or (2 if scaled else itemsize(call, 0))
    read = sum(bytes_read(call, i) for i in range(6 if scaled else 4))
    cost = Cost(2 * terms, read, out * size, "matrix", matrix_precision(dtype(call, 0)))
    weights = {(2, 3): (1, a[0]), (3, 2): (0, b[-1])}.get((len(a), len(b)))  # place, rows of the other
    return of_groups(call, cost, *weights) if weights else cost


def of_groups(call: OpCall, cost: Cost, weights: int, rows: int) -> Cost:
    """`cost` with the weights (groups, n, k) of all groups; at least of one, at most of one a row."""
    groups, each = shape(call, weights)[0], bytes_read(call, weights) // max(shape(call, weights)[0], 1)
    fewest, most = min(1, groups, rows), min(groups, rows)

    def using(used: int) -> Cost:
        return replace(cost, read_bytes=cost.read_bytes - (groups - used) * each)

    why = f"between {fewest} and {most} of {groups} groups have rows, which data decides"
    return between(using(fewest), using(most), why)


@op_cost("aten::addbmm", "aten::addbmm_", source="torch.addbmm: sum of batched products")
def summed_batch_product(call: OpCall) -> Cost:
    """C[m,n] = beta*S + sum over b of A[b,m,k] @ B[b,k,n]

    FLOPs = 2*b*m*n*k
    Bytes = S, A and B read, C written
    Assumes beta is not 0.
    """
    recorded(call, 0, 1, 2)
    (b, m, k), (count, inner, n) = ranked(call, 1, 3), ranked(call, 2, 3)
    agree(call, b, count)
    agree(call, k, inner)
    read = sum(bytes_read(call, i) for i in range(3))
    written = m * n * itemsize(call, 1)
    return Cost(2 * b * m * n * k, read, written, "matrix", matrix_precision(dtype(call, 1)))
