"""Decompositions, systems of equations, Fourier transforms and distances: FLOPs that the dims determine.

Where an algorithm iterates until the values agree, only the bytes are known.
"""

from __future__ import annotations

from math import log2, prod

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    agree,
    argument,
    axes,
    broadcast,
    bytes_of,
    bytes_read,
    count,
    dtype,
    has,
    is_true,
    itemsize,
    numel,
    ranked,
    recorded,
    shape,
    vector_precision,
)  # fmt: skip
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE

_LAPACK = "LAPACK Working Note 41, appendix C: operations of the routines"
_INT32 = 4  # bytes of a pivot, and of what tells whether a matrix could be decomposed
_COMPLEX = {"fp16": "complex32", "fp32": "complex64", "fp64": "complex128"}
_REAL = {whole: part for part, whole in _COMPLEX.items()}


def _parts(call: OpCall, i: int = 0) -> tuple[int, int, int]:
    """(matrices, rows, columns) of input `i`."""
    dims = shape(call, i)
    return numel(dims[:-2]), dims[-2], dims[-1]


def _square(call: OpCall, i: int = 0) -> tuple[int, int]:
    """(matrices, rows) of input `i`, whose matrices are square."""
    matrices, rows, columns = _parts(call, i)
    agree(call, rows, columns)
    return matrices, rows


def _reflectors(call: OpCall, limit: int) -> int:
    """How many reflectors input 1 has the factors of: no more than the matrices that they make have rows."""
    reflectors = shape(call, 1)[-1]
    if reflectors > limit:
        raise Missing("no_shapes", f"more reflectors are recorded than {call.name} can have")
    return reflectors


def _cost(call: OpCall, flops: float, read: int, written: int, note: str = "") -> Cost:
    """Products and sums of complex numbers take four times the operations."""
    precision = dtype(call, 0)
    total = round(flops) * (4 if precision in _REAL else 1)
    return Cost(total, read, written, "vector", vector_precision(precision), note=note)


def _lu(m: int, n: int) -> float:
    """Operations of an LU factorization of [m, n]."""
    long, short = max(m, n), min(m, n)
    return long * short**2 - short**3 / 3


def _qr(m: int, n: int) -> float:
    """Operations of the reflectors of a QR factorization of [m, n]."""
    long, short = max(m, n), min(m, n)
    return 2 * long * short**2 - 2 * short**3 / 3


def _reflected(m: int, n: int, k: int) -> float:
    """Operations of making Q, [m, n], of k reflectors."""
    return 4 * m * n * k - 2 * (m + n) * k * k + 4 * k**3 / 3


@op_cost("aten::linalg_cholesky_ex", "aten::cholesky", source=_LAPACK)
def cholesky(call: OpCall) -> Cost:
    """A = L @ L.T

    FLOPs = n^3/3 a matrix
    Bytes = A read, L and an int32 of success written
    Assumes the whole of A is read, of which one triangle is used.
    """
    count, n = _square(call)
    success = _INT32 * count if call.name.endswith("_ex") else 0
    return _cost(call, count * n**3 / 3, bytes_read(call, 0), bytes_of(call, 0) + success)


@op_cost("aten::linalg_lu_factor_ex", "aten::linalg_ldl_factor_ex", source=_LAPACK)
def factor(call: OpCall) -> Cost:
    """P @ A = L @ U; of a symmetric A, L @ D @ L.T

    FLOPs = m*n^2 - n^3/3 a matrix of m >= n rows; n^3/3 of a symmetric one
    Bytes = A read; both factors in one matrix, int32 pivots and an int32 of success written
    Assumes pivots by rows.
    """
    count, m, n = _parts(call)
    each = n**3 / 3 if "ldl" in call.name else _lu(m, n)
    written = bytes_of(call, 0) + count * (min(m, n) + 1) * _INT32
    return _cost(call, count * each, bytes_read(call, 0), written)


@op_cost("aten::_linalg_det", "aten::_linalg_slogdet", source=_LAPACK)
def determinant(call: OpCall) -> Cost:
    """The product of U's diagonal, or its sign and logarithm, after P @ A = L @ U

    FLOPs = 2*n^3/3 a matrix
    Bytes = A read; both factors in one matrix, int32 pivots and the result written
    Assumes the product of n elements is nothing beside the factorization.
    """
    count, n = _square(call)
    each = itemsize(call, 0)
    if call.name == "aten::_linalg_slogdet":
        each += ITEMSIZE[_REAL.get(dtype(call, 0), dtype(call, 0))]
    written = bytes_of(call, 0) + count * (n * _INT32 + each)
    return _cost(call, count * _lu(n, n), bytes_read(call, 0), written)


@op_cost("aten::linalg_inv_ex", "aten::cholesky_inverse", source=_LAPACK)
def inverse(call: OpCall) -> Cost:
    """The inverse of A, or of L @ L.T

    FLOPs = 2*n^3 a matrix; from its Cholesky factor 2*n^3/3
    Bytes = A read, its inverse (and an int32 of success) written
    Assumes an LU factorization, 2/3 of n^3, and 4/3 for the inverse of it.
    """
    count, n = _square(call)
    factored = call.name == "aten::cholesky_inverse"
    written = bytes_of(call, 0) + (0 if factored else count * _INT32)
    return _cost(call, count * n**3 * (2 / 3 if factored else 2), bytes_read(call, 0), written)


@op_cost("aten::_linalg_solve_ex", source=_LAPACK)
def solve(call: OpCall) -> Cost:
    """X of A @ X = B

    FLOPs = 2*n^3/3 + 2*n^2*k a matrix, k right-hand sides
    Bytes = A and B read; X, both factors, int32 pivots and an int32 of success written
    Assumes B's batch dims are A's.
    """
    count, n = _square(call)
    written = bytes_of(call, 1) + bytes_of(call, 0) + count * (n + 1) * _INT32
    flops = count * _lu(n, n) + 2 * n * numel(shape(call, 1))
    return _cost(call, flops, bytes_read(call, 0) + bytes_read(call, 1), written)


@op_cost("aten::linalg_lu_solve", "aten::linalg_ldl_solve", "aten::cholesky_solve", source=_LAPACK)
def solve_factored(call: OpCall) -> Cost:
    """X of A @ X = B, A factored already

    FLOPs = 2*n^2*k a matrix, k right-hand sides
    Bytes = factors, pivots and B read, X written
    Assumes every operand is read once.
    """
    recorded(call, *range(2 if call.name == "aten::cholesky_solve" else 3))
    first = call.name == "aten::cholesky_solve"  # B comes first
    places, b = ((0, 1), 0) if first else ((0, 1, 2), 2)
    factors, given = shape(call, 1 if first else 0), shape(call, b)
    size = numel(broadcast(factors[:-2], given[:-2])) * numel(given[-2:])
    read = sum(bytes_read(call, i) for i in places)
    return _cost(call, 2 * factors[-1] * size, read, size * itemsize(call, b))


@op_cost("aten::triangular_solve", source=_LAPACK)
def old_solve_triangular(call: OpCall) -> Cost:
    """X of A @ X = B with triangular A, and A again

    FLOPs = n^2*k a matrix, k right-hand sides
    Bytes = B and A read, X and A written
    Assumes the whole of A is read, of which one triangle is used.
    """
    n = shape(call, 1)[-1]
    moved = bytes_read(call, 0) + bytes_read(call, 1)
    return _cost(call, n * numel(shape(call, 0)), moved, bytes_of(call, 0) + bytes_of(call, 1))


@op_cost("aten::linalg_cross", source="definition of the product")
def cross(call: OpCall) -> Cost:
    """a x b of vectors of three

    FLOPs = 3 an element
    Bytes = both read, the product written
    Assumes both are broadcast.
    """
    size = numel(broadcast(shape(call, 0), shape(call, 1)))
    return _cost(call, 3 * size, bytes_read(call, 0) + bytes_read(call, 1), size * itemsize(call, 0))


@op_cost("aten::lu_unpack", "aten::linalg_lu", source=_LAPACK)
def unpack(call: OpCall) -> Cost:
    """P, L and U of both factors in one matrix; linalg_lu factors first

    FLOPs = 0; linalg_lu m*n^2 - n^3/3 a matrix of m >= n rows
    Bytes = factors and pivots, or A, read; P [m, m], L [m, k] and U [k, n] written
    Assumes all three are wanted.
    """
    recorded(call, *range(2 if call.name == "aten::lu_unpack" else 1))
    count, m, n = _parts(call)
    k = min(m, n)
    read = bytes_read(call, 0) + (bytes_read(call, 1) if call.name == "aten::lu_unpack" else 0)
    flops = count * _lu(m, n) if call.name == "aten::linalg_lu" else 0
    return _cost(call, flops, read, count * (m * m + m * k + k * n) * itemsize(call, 0))


@op_cost("aten::linalg_solve_triangular", source=_LAPACK)
def solve_triangular(call: OpCall) -> Cost:
    """X of A @ X = B with triangular A

    FLOPs = n^2*k a matrix, k right-hand sides
    Bytes = A and B read, X written
    Assumes the whole of A is read, of which one triangle is used.
    """
    (_, n), b = _square(call), shape(call, 1)
    batch = max(numel(shape(call, 0)[:-2]), numel(b[:-2]))
    size = batch * b[-2] * b[-1]
    return _cost(call, n * size, bytes_read(call, 0) + bytes_read(call, 1), size * itemsize(call, 1))


@op_cost("aten::linalg_qr", "aten::geqrf", source=_LAPACK)
def qr(call: OpCall) -> Cost:
    """A = Q @ R, or the reflectors that make Q

    FLOPs = 2*m*n^2 - 2*n^3/3 a matrix of m >= n rows, and as much again where Q is made
    Bytes = A read; Q and R, or the reflectors and their factors, written
    Assumes reduced factors where the mode is not recorded.
    """
    count, m, n = _parts(call)
    k, each = min(m, n), itemsize(call, 0)
    if call.name == "aten::geqrf":
        return _cost(call, count * _qr(m, n), bytes_read(call, 0), bytes_of(call, 0) + count * k * each)
    mode = call.concrete[1].strip("'\" ") if len(call.concrete) > 1 else ""
    width, height = {"r": (0, k), "complete": (m, m)}.get(mode, (k, k))
    q_flops = _reflected(m, width, k) if width else 0
    written = count * (m * width + height * n) * each
    return _cost(call, count * (_qr(m, n) + q_flops), bytes_read(call, 0), written)


@op_cost("aten::linalg_householder_product", source=_LAPACK)
def reflectors_product(call: OpCall) -> Cost:
    """Q of k reflectors, [m, n]

    FLOPs = 4*m*n*k - 2*(m + n)*k^2 + 4*k^3/3 a matrix
    Bytes = reflectors and their factors read, Q written
    Assumes nothing.
    """
    count, m, n = _parts(call)
    k = _reflectors(call, min(m, n))
    read = bytes_read(call, 0) + bytes_read(call, 1)
    return _cost(call, count * _reflected(m, n, k), read, bytes_of(call, 0))


@op_cost("aten::ormqr", source=_LAPACK)
def reflectors_applied(call: OpCall) -> Cost:
    """Q @ C or C @ Q with Q given by k reflectors

    FLOPs = 4*m*n*k - 2*n*k^2 a matrix C of [m, n]; from the right with m and n changed
    Bytes = reflectors, their factors and C read, the product written
    Assumes from the left where the side is not recorded.
    """
    count, m, n = _parts(call, 2)
    left = len(call.concrete) <= 3 or is_true(call.concrete[3])
    k = _reflectors(call, m if left else n)
    flops = 4 * m * n * k - 2 * (n if left else m) * k * k
    return _cost(call, count * flops, sum(bytes_read(call, i) for i in range(3)), bytes_of(call, 2))


@op_cost(
    "aten::_linalg_eigh",
    "aten::linalg_eig",
    "aten::_linalg_eigvals",
    "aten::_linalg_svd",
    "aten::linalg_lstsq",
    "aten::linalg_matrix_exp",
    source=_LAPACK,
)
def iterated(call: OpCall) -> Cost:
    """Eigenvalues, singular values, least squares, exponentials

    FLOPs = not known: iterations go on until the values agree
    Bytes = not known
    Assumes nothing.
    """
    raise Missing("data_dependent", "how often it iterates depends on the values")


@op_cost(
    "aten::_fft_c2c",
    "aten::_fft_r2c",
    "aten::_fft_c2r",
    source="M. Frigo, S. G. Johnson, fftw.org/speed: 5 n log2 n, half of it where one side is real",
)
def fourier(call: OpCall) -> Cost:
    """Discrete Fourier transform over the given dimensions

    FLOPs = 5*n*log2(points) of n complex elements, points those of one transform; half where one side is real
    Bytes = input read, result written
    Assumes one pass; long or several dimensions take more.
    """
    dims, precision = shape(call, 0), dtype(call, 0)
    along = axes(call, 1, dims)
    if not along:
        raise Missing("no_concrete_inputs", "the dimensions to transform are recorded as none")
    out = list(dims)
    if call.name == "aten::_fft_c2r":
        out[along[-1]] = count(call, 3)
    elif call.name == "aten::_fft_r2c" and is_true(argument(call, 3)):
        out[along[-1]] = dims[along[-1]] // 2 + 1
    changed = {"aten::_fft_c2r": _REAL, "aten::_fft_r2c": _COMPLEX}.get(call.name, {})
    whole = out if call.name == "aten::_fft_c2r" else dims  # the side that is not cut in half
    size, points = numel(tuple(whole)), prod(whole[d] for d in along)
    flops = 5 * size * log2(max(points, 1)) / (2 if changed else 1)
    written = numel(tuple(out)) * ITEMSIZE[changed.get(precision, precision)]
    return Cost(
        round(flops), bytes_read(call, 0), written, "vector", vector_precision(precision), note="one pass"
    )


@op_cost("aten::cdist", "aten::_cdist_forward", source="definition of the distance")
def distances(call: OpCall) -> Cost:
    """Distances between all rows of two tensors

    FLOPs = 3*m*n*k
    Bytes = both read, m*n written
    Assumes direct differences rather than a product.
    """
    a, b = shape(call, 0), shape(call, 1)
    size = max(numel(a[:-2]), numel(b[:-2])) * a[-2] * b[-2]
    return Cost(3 * size * a[-1], bytes_read(call, 0) + bytes_read(call, 1), size * itemsize(call, 0))


@op_cost("aten::_cdist_backward", source="definition of the distance")
def distances_backward(call: OpCall) -> Cost:
    """Gradient of all distances for the first rows

    FLOPs = 4*m*n*k
    Bytes = gradient, both tensors and the distances read, a gradient of the first written
    Assumes each is read once.
    """
    recorded(call, 0, 1, 2, 4)
    read = sum(bytes_read(call, i) for i in (0, 1, 2, 4))
    return Cost(4 * numel(shape(call, 0)) * shape(call, 1)[-1], read, bytes_of(call, 1))


@op_cost("aten::_pdist_forward", "aten::_pdist_backward", source="definition of the distance")
def own_distances(call: OpCall) -> Cost:
    """Distances between the rows of one tensor, or their gradient

    FLOPs = 3*k a pair of rows, 4*k of the gradient
    Bytes = inputs read; a distance a pair, or a gradient of the rows, written
    Assumes each is read once.
    """
    backward = call.name.endswith("_backward")
    recorded(call, *((0, 1, 3) if backward else (0,)))
    rows, k = ranked(call, 1 if backward else 0, 2)
    pairs = rows * (rows - 1) // 2
    read = sum(bytes_read(call, i) for i in range(len(call.shapes)) if has(call, i))
    written = bytes_of(call, 1) if backward else pairs * itemsize(call, 0)
    return Cost((4 if backward else 3) * pairs * k, read, written)
