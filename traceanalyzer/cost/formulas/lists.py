"""Ops on lists of tensors: `_foreach_*`, fused optimizers, gradient scaling. Every tensor counts."""

from __future__ import annotations

from traceanalyzer.cost.formulas.pointwise import base_name
from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    bytes_read,
    dtype,
    has,
    is_list,
    listed,
    numel,
    shapes_in,
    vector_precision,
)
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE

_SOURCE = "torch/aten/src/ATen/native/cuda/ForeachFunctors.cuh, FusedAdamKernel.cu, fused_adam_utils.cuh"
# Nominal FLOPs an element; the rest of the names is those of the element-wise table.
_FLOPS = {"addcmul": 3, "addcdiv": 4, "lerp": 3}
_SPECIAL = {
    "sqrt", "rsqrt", "reciprocal", "exp", "log", "div", "pow", "addcdiv", "tanh", "sigmoid", "erf",
    "sin", "cos",
}  # fmt: skip


def _elements(call: OpCall, i: int) -> int:
    return sum(map(numel, listed(call, i)))


def _optional(call: OpCall, i: int) -> int:
    """Elements of a list that may be empty."""
    return sum(map(numel, shapes_in(call, i)))


def _lists(call: OpCall) -> list[int]:
    indices = [i for i in range(len(call.shapes)) if is_list(call, i)]
    if not indices:
        raise Missing("no_shapes", "the dims of the lists were left out by the profiler")
    return indices


@op_cost("aten::_foreach_*", source=_SOURCE)
def foreach(call: OpCall) -> Cost:
    """f over every tensor of a list, with scalars, tensors or further lists

    FLOPs = nominal operations of f an element
    Bytes = every list read, the first list's size written (in place or new); zero_: written only
    Assumes one type for all lists.
    """
    name = base_name("aten::" + call.name.removeprefix("aten::_foreach_"))
    size = _elements(call, 0)
    each = ITEMSIZE[dtype(call, _lists(call)[0])]
    reads = sum(_elements(call, i) for i in _lists(call)) * each
    reads += sum(bytes_read(call, i) for i in range(len(call.shapes)) if has(call, i))
    written = size * each
    if name == "zero":
        return Cost(0, 0, written)
    flops = _FLOPS.get(name, 1) * size
    precision = vector_precision(dtype(call, _lists(call)[0]))
    return Cost(flops, reads, written, "vector", precision, special_functions=size * (name in _SPECIAL))


@op_cost(
    "aten::_fused_adam_", "aten::_fused_adamw_", "aten::_fused_adam", "aten::_fused_adamw", source=_SOURCE
)
def fused_adam(call: OpCall) -> Cost:
    """One step of Adam or AdamW for all parameters: lists of p, g, m, v, (max v), steps

    FLOPs = 14 an element
    Bytes = p, g, m, v read, p, m, v written (7 x the parameters; 9 x with amsgrad)
    Assumes one type for all lists.
    """
    each = ITEMSIZE[dtype(call, 0)]
    p, g, m, v, peak = (*(_elements(call, i) for i in range(4)), _optional(call, 4))
    return Cost(14 * p, (p + g + m + v + peak) * each, (p + m + v + peak) * each, "vector", "fp32",
                special_functions=p)  # fmt: skip


@op_cost("aten::_fused_sgd_", "aten::_fused_sgd", source=_SOURCE)
def fused_sgd(call: OpCall) -> Cost:
    """One step of SGD for all parameters: lists of p, g, momentum buffers

    FLOPs = 4 an element
    Bytes = p, g and buffers read, p and buffers written (3 x the parameters, 5 x with momentum)
    Assumes one type for all lists.
    """
    each = ITEMSIZE[dtype(call, 0)]
    p, g, buffers = _elements(call, 0), _elements(call, 1), _optional(call, 2)
    return Cost(4 * p, (p + g + buffers) * each, (p + buffers) * each, "vector", "fp32")


@op_cost("aten::_fused_adagrad_", "aten::_fused_adagrad", source=_SOURCE)
def fused_adagrad(call: OpCall) -> Cost:
    """One step of Adagrad for all parameters: lists of p, g, sums, steps

    FLOPs = 6 an element
    Bytes = p, g, sums read, p and sums written
    Assumes one type for all lists.
    """
    each = ITEMSIZE[dtype(call, 0)]
    p, g, sums = (_elements(call, i) for i in range(3))
    return Cost(6 * p, (p + g + sums) * each, (p + sums) * each, "vector", "fp32", special_functions=p)


@op_cost("aten::_amp_foreach_non_finite_check_and_unscale_", source=_SOURCE)
def unscale(call: OpCall) -> Cost:
    """Gradients divided by the loss scale, and whether any is not finite

    FLOPs = 2 an element
    Bytes = gradients read and written
    Assumes one type for the list.
    """
    moved = _elements(call, 0) * ITEMSIZE[dtype(call, 0)]
    return Cost(2 * _elements(call, 0), moved, moved)


@op_cost("aten::_foreach_norm", "aten::_foreach_max", source=_SOURCE)
def foreach_norm(call: OpCall) -> Cost:
    """A norm, or the largest element, of every tensor of a list

    FLOPs = 2 an element
    Bytes = the list read, one value a tensor written
    Assumes one type for the list.
    """
    each = ITEMSIZE[dtype(call, 0)]
    items = listed(call, 0)
    size = sum(map(numel, items))
    return Cost(2 * size, size * each, len(items) * each)
