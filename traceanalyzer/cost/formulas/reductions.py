"""Reductions, scans, sorting and losses: the input read once, the smaller result written."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    argument,
    axes,
    broadcast,
    bytes_of,
    bytes_read,
    count,
    dtype,
    has,
    integer,
    is_floating,
    itemsize,
    numel,
    ranked,
    recorded,
    shape,
    tensors,
    vector_precision,
)  # fmt: skip
from traceanalyzer.records import Cost, OpCall, Shape
from traceanalyzer.records.units import ITEMSIZE, SCALAR_TYPES

_SOURCE = "torch/aten/src/ATen/native/ReduceOps.cpp: shapes and types of the results"

# Place of `dim` and of `keepdim`: native_functions.yaml.
_DIMS = {
    "sum": 1, "nansum": 1, "mean": 1, "nanmean": 1, "prod": 1, "amax": 1, "amin": 1, "logsumexp": 1, "any": 1,
    "all": 1, "argmax": 1, "argmin": 1, "max": 1, "min": 1, "median": 1, "nanmedian": 1, "mode": 1,
    "var": 1, "std": 1,
    "var_mean": 1, "std_mean": 1, "norm": 2, "linalg_vector_norm": 2, "count_nonzero": 1, "aminmax": 1,
    "kthvalue": 2,
    "special_logsumexp": 1, "_logsumexp": 1,
}  # fmt: skip
_FLOPS = {
    "var": 3, "std": 3, "var_mean": 3, "std_mean": 3, "logsumexp": 3, "norm": 2, "linalg_vector_norm": 2,
}  # fmt: skip
_REAL_RESULT = ("var", "std", "var_mean", "std_mean", "norm", "linalg_vector_norm")  # of complex numbers
_REAL_PART = {"complex32": "fp16", "complex64": "fp32", "complex128": "fp64"}
_WITH_INDEX = ("max", "min", "median", "nanmedian", "mode", "kthvalue")
_TYPED = ("sum", "nansum", "mean", "prod")
# The overloads without dimensions call those with them, under the same name.
_CALL_THEMSELVES = ("sum", "var", "var_mean", "std_mean")


def reduced(call: OpCall, dims: Shape, index: int) -> int:
    """Elements of the result of reducing over the dimensions in argument `index`; all where it is empty."""
    text = argument(call, index).strip() if index < len(call.concrete) else ""
    if text in ("", "[]", "None", "True", "False"):  # var(x, unbiased) has a flag there
        return 1
    chosen = set(axes(call, index, dims))
    return numel(tuple(d for i, d in enumerate(dims) if i not in chosen))


@op_cost(
    *(f"aten::{name}" for name in _CALL_THEMSELVES), source=_SOURCE, role="composite", fusible="reduction"
)
def nested_reduction(call: OpCall) -> Cost:
    """A sum or variance, where no op of the same name below it does the work

    FLOPs = 1 an input element (var_mean, std_mean, var 3)
    Bytes = input read, result written
    Assumes one pass; the partial sums of a two-pass kernel are small.
    """
    return reduction(call)


@op_cost(
    *(f"aten::{name}" for name in _DIMS if name not in _CALL_THEMSELVES), source=_SOURCE, fusible="reduction"
)
def reduction(call: OpCall) -> Cost:
    """One value for each slice: sum, mean, extreme, variance, norm, log-sum-exp

    FLOPs = 1 an input element (norm 2; var, std, logsumexp 3)
    Bytes = input read, result written (booleans 1 byte, indices 8)
    Assumes one pass; the partial sums of a two-pass kernel are small.
    """
    name = call.name.removeprefix("aten::")
    dims = shape(call, 0)
    if name in ("max", "min") and has(call, 1):
        return _pairwise(call)
    out = _result_size(call, name, dims)
    precision = dtype(call, 0)
    each = _bytes_each(name, precision, _asked_dtype(call, name), _gives_positions(call, name))
    size = numel(dims)
    roots = name in ("std", "norm", "linalg_vector_norm", "std_mean")
    special = out if roots else size * (name == "logsumexp")
    note = "" if call.concrete else "dimensions not recorded: the bytes of the result are left out"
    return Cost(_FLOPS.get(name, 1) * size, bytes_read(call, 0), out * each, "vector",
                vector_precision(precision), special_functions=special, note=note)  # fmt: skip


def _gives_positions(call: OpCall, name: str) -> bool:
    """Overloads with a dimension give int64 positions beside the values; those without have one argument."""
    return name in ("mode", "kthvalue") or name in _WITH_INDEX and len(call.concrete) >= 3


def _bytes_each(name: str, precision: str, asked: str | None, positions: bool) -> int:
    """Bytes written for one element of the result, its position or a second result included."""
    if asked:
        return ITEMSIZE[_REAL_PART.get(asked, asked) if name in _REAL_RESULT else asked]
    if name in ("any", "all"):
        return 1
    if name in ("argmax", "argmin", "count_nonzero"):
        return 8
    if name in ("sum", "nansum", "prod") and not is_floating(precision):
        return 8
    if positions:
        return ITEMSIZE[precision] + 8
    if name in _FLOPS and not is_floating(precision):
        precision = "fp32"
    spread = ITEMSIZE[_REAL_PART.get(precision, precision) if name in _REAL_RESULT else precision]
    if name in ("var_mean", "std_mean"):
        return spread + ITEMSIZE[precision]
    return spread * (2 if name == "aminmax" else 1)


def _result_size(call: OpCall, name: str, dims: Shape) -> int:
    """Elements of the result; one where the dimensions are not recorded, which keeps the bytes a floor."""
    whole = name == "norm" and len(call.concrete) == 3 or _without_dims(call, name)
    return 1 if whole or not call.concrete else reduced(call, dims, _DIMS[name])


def _without_dims(call: OpCall, name: str) -> bool:
    """sum(x, dtype) and, with `out`, three arguments; the overloads with dimensions have four or more."""
    return name in _TYPED and len(call.concrete) <= 3


def _asked_dtype(call: OpCall, name: str) -> str | None:
    """The `dtype` argument: behind dim and keepdim, or the second of the overloads without dimensions."""
    if name not in (*_TYPED, "norm", "linalg_vector_norm"):
        return None
    index = 4 if "norm" in name else 1 if _without_dims(call, name) else 3
    return SCALAR_TYPES.get(call.concrete[index].strip()) if index < len(call.concrete) else None


def _pairwise(call: OpCall) -> Cost:
    """max(a, b) and min(a, b) of two tensors."""
    size = max(numel(shape(call, 0)), numel(shape(call, 1)))
    return Cost(size, bytes_read(call, 0) + bytes_read(call, 1), size * itemsize(call, 0))


@op_cost(
    "aten::cumsum",
    "aten::cumprod",
    "aten::_cumsum",
    "aten::_cumprod",
    "aten::cummax",
    "aten::cummin",
    "aten::logcumsumexp",
    "aten::_logcumsumexp",
    "aten::cumsum_",
    "aten::cumprod_",
    source=_SOURCE,
)
def scan(call: OpCall) -> Cost:
    """Running sums along a dimension

    FLOPs = 1 an element
    Bytes = input read, output written; sums of integers are int64, cummax and cummin have int64 positions
    Assumes one pass; of the type asked for, where one is.
    """
    size, precision = numel(shape(call, 0)), dtype(call, 0)
    asked = SCALAR_TYPES.get(call.concrete[2].strip()) if len(call.concrete) > 2 else None
    if asked:
        return Cost(size, bytes_read(call, 0), size * ITEMSIZE[asked])
    each = ITEMSIZE[precision] if is_floating(precision) or call.name.endswith("_") else 8
    if call.name in ("aten::cummax", "aten::cummin"):
        each = ITEMSIZE[precision] + 8
    return Cost(size, bytes_read(call, 0), size * each)


@op_cost("aten::sort", "aten::argsort", "aten::msort", source=_SOURCE)
def sort(call: OpCall) -> Cost:
    """Elements in order, with their int64 positions

    FLOPs = 0
    Bytes = input read, values and positions written
    Assumes one pass; radix sort of large segments takes several.
    """
    size = numel(shape(call, 0))
    each = 8 if call.name == "aten::argsort" else itemsize(call, 0) + 8
    return Cost(0, bytes_read(call, 0), size * each, note="one pass; radix sort takes several")


@op_cost("aten::topk", source=_SOURCE)
def topk(call: OpCall) -> Cost:
    """The k largest of each row, with int64 positions

    FLOPs = 1 an input element
    Bytes = input read, k values and positions a row written
    Assumes one pass; radix selection reads the input two to four times.
    """
    dims, k = shape(call, 0), count(call, 1)
    along = integer(call, 2) if len(call.concrete) > 2 else -1
    rows = numel(dims) // max(dims[along], 1)
    return Cost(numel(dims), bytes_read(call, 0), rows * k * (itemsize(call, 0) + 8),
                note="one pass; radix selection takes two to four")  # fmt: skip


@op_cost(
    "aten::nll_loss_forward",
    "aten::nll_loss",
    "aten::nll_loss2d_forward",
    "aten::nll_loss_nd",
    source=_SOURCE,
)
def nll_loss(call: OpCall) -> Cost:
    """-x[i, target[i]], averaged

    FLOPs = 1 a target
    Bytes = targets, class weights and the chosen elements read; the loss and the total weight, or without
    a reduction the loss of every target, written
    Assumes a mean or a sum where the reduction is not recorded.
    """
    targets = numel(shape(call, 1))
    each = len(call.concrete) > 3 and call.concrete[3].strip() == "0"
    read = bytes_read(call, 1) + bytes_read(call, 2) + targets * itemsize(call, 0)
    return Cost(targets, read, (targets if each else 2) * itemsize(call, 0))


@op_cost("aten::nll_loss_backward", "aten::nll_loss2d_backward", source=_SOURCE, fusible="element")
def nll_loss_backward(call: OpCall) -> Cost:
    """Zeros with -1/n at each target

    FLOPs = 1 a target
    Bytes = targets, class weights and, without a reduction, a gradient each read; the whole gradient written
    Assumes the zeros are written by the op.
    """
    recorded(call, 0, 1, 2)
    targets = numel(shape(call, 2))
    read = bytes_read(call, 0) + bytes_read(call, 2) + bytes_read(call, 3)
    return Cost(targets, read, bytes_of(call, 1))


@op_cost(
    "aten::mse_loss",
    "aten::l1_loss",
    "aten::smooth_l1_loss",
    "aten::huber_loss",
    "aten::binary_cross_entropy",
    "aten::binary_cross_entropy_with_logits",
    "aten::kl_div",
    "aten::soft_margin_loss",
    "aten::poisson_nll_loss",
    source=_SOURCE,
    fusible="reduction",
)
def pair_loss(call: OpCall) -> Cost:
    """f(x, target), element by element; the reduction to a scalar is an op that it calls

    FLOPs = 3 an element
    Bytes = x, target and weight read, the loss of every element written
    Assumes the mean or sum is priced by itself (torch/aten/src/ATen/native/Loss.cpp: apply_loss_reduction).
    """
    size = numel(broadcast(shape(call, 0), shape(call, 1)))
    read = sum(bytes_read(call, i) for i in _given(call))
    special = size if "entropy" in call.name or "kl_div" in call.name else 0
    return Cost(3 * size, read, size * itemsize(call, 0), "vector", "fp32", special_functions=special)


@op_cost(
    "aten::mse_loss_backward",
    "aten::l1_loss_backward",
    "aten::smooth_l1_loss_backward",
    "aten::huber_loss_backward",
    "aten::binary_cross_entropy_backward",
    "aten::soft_margin_loss_backward",
    source=_SOURCE,
    fusible="element",
)
def pair_loss_backward(call: OpCall) -> Cost:
    """Gradient of f(x, target) for x

    FLOPs = 3 an element
    Bytes = gradient, x and target read, a gradient of x's size written
    Assumes the incoming gradient is a scalar unless it has dims.
    """
    recorded(call, 0, 1, 2)
    read = sum(bytes_read(call, i) for i in _given(call))
    return Cost(3 * numel(shape(call, 1)), read, bytes_of(call, 1))


# Arguments of a loss and of its gradient; a tensor behind them is `out=` or `grad_input=`: not read.
_LOSS_ARGUMENTS = {
    "mse_loss": 3, "l1_loss": 3, "soft_margin_loss": 3, "smooth_l1_loss": 4, "huber_loss": 4,
    "binary_cross_entropy": 4, "kl_div": 4, "binary_cross_entropy_with_logits": 5, "poisson_nll_loss": 6,
}  # fmt: skip


def _given(call: OpCall) -> list[int]:
    """The tensors that a loss is given."""
    name = call.name.removeprefix("aten::")
    backward = name.endswith("_backward")
    count = _LOSS_ARGUMENTS[name.removesuffix("_backward")] + backward
    return [i for i in tensors(call) if i < count]


@op_cost("aten::histc", source=_SOURCE)
def histogram(call: OpCall) -> Cost:
    """Elements counted in equal intervals

    FLOPs = 1 an input element
    Bytes = input read, a count an interval written
    Assumes one pass; 100 intervals where their number is not recorded (the default).
    """
    intervals = count(call, 1) if len(call.concrete) > 1 else 100
    return Cost(numel(shape(call, 0)), bytes_read(call, 0), intervals * itemsize(call, 0))


@op_cost("aten::multinomial", source=_SOURCE, role="composite")
def multinomial(call: OpCall) -> Cost:
    """Draws by given probabilities, where one kernel makes them

    FLOPs = 1 a probability
    Bytes = probabilities read, int64 draws written
    Assumes one pass.
    """
    dims = shape(call, 0)
    return Cost(numel(dims), bytes_read(call, 0), 8 * numel(dims[:-1]) * count(call, 1))


@op_cost("aten::trace", source=_SOURCE)
def trace(call: OpCall) -> Cost:
    """Sum of the diagonal

    FLOPs = 1 a diagonal element
    Bytes = diagonal read, one element written
    Assumes whole sectors cost nothing: a floor.
    """
    size = min(ranked(call, 0, 2))
    return Cost(size, size * itemsize(call, 0), itemsize(call, 0))


@op_cost(
    "aten::multi_margin_loss",
    "aten::multilabel_margin_loss_forward",
    "aten::multi_margin_loss_backward",
    "aten::multilabel_margin_loss_backward",
    source=_SOURCE,
)
def margin_loss(call: OpCall) -> Cost:
    """Margins between the labels' scores and all others, a number each row; or the gradient of the scores

    FLOPs = 3 a score
    Bytes = scores, labels and class weights read; the loss (multilabel: and a mark a score), or a gradient
    of the scores' size, written
    Assumes a mean or a sum where the reduction is not recorded.
    """
    backward, multilabel = call.name.endswith("_backward"), "multilabel" in call.name
    recorded(call, 0, 1, *((2,) if backward else ()), *((4,) if backward and multilabel else ()))
    scores = 1 if backward else 0
    dims = shape(call, scores)
    read = sum(bytes_read(call, i) for i in tensors(call))
    if backward:
        return Cost(3 * numel(dims), read, bytes_of(call, scores))
    reduction_index = 2 if multilabel else 5
    each = len(call.concrete) > reduction_index and call.concrete[reduction_index].strip() == "0"
    losses = numel(dims[:-1]) if each else 1
    marks = numel(dims) if multilabel else 0
    return Cost(3 * numel(dims), read, (losses + marks) * itemsize(call, 0))


@op_cost(
    "aten::bincount",
    "aten::unique",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::masked_select",
    "aten::unique_consecutive",
    "aten::nonzero_static",
    source=_SOURCE,
)
def counted(call: OpCall) -> Cost:
    """Results whose size depends on the values

    FLOPs = not known
    Bytes = not known: the size of the result is data
    Assumes nothing.
    """
    raise Missing("data_dependent", "the size of the result is data")
