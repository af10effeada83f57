"""Element-wise operators: every distinct tensor input read once, the result written once."""

from __future__ import annotations

import re

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    broadcast,
    bytes_of,
    bytes_read,
    dtype,
    has,
    is_floating,
    numel,
    promote,
    recorded,
    shape,
    tensors,
    vector_precision,
)  # fmt: skip
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE

# Nominal FLOPs an element; the second figure of a line is how many of them are special functions.
# The convention of this project; it never moves the bound of a single op, whose ridge is above 9 FLOP/B.
_COUNTS = (
    (0, 0, "relu relu_ threshold clone positive real imag view_as_real_copy bitwise_not logical_not "
           "signbit isnan isinf isfinite isposinf isneginf nan_to_num conj_physical _conj_physical"),
    (1, 0, "add sub rsub mul multiply subtract neg negative abs absolute sign sgn ceil floor round trunc "
           "frac minimum maximum fmin fmax clamp clamp_min clamp_max clip hardtanh relu6 eq ne lt le gt "
           "ge equal_ greater less logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor "
           "bitwise_left_shift bitwise_right_shift __and__ __or__ __xor__ __lshift__ __rshift__ __iand__ "
           "__ior__ __ixor__ __ilshift__ __irshift__ gcd lcm nextafter leaky_relu threshold_backward "
           "hardtanh_backward leaky_relu_backward heaviside copysign square ldexp deg2rad rad2deg lshift "
           "rshift where masked_fill dropout_mask "
           "native_dropout_backward _masked_scale masked_scale"),
    (1, 1, "div divide true_divide floor_divide remainder fmod reciprocal exp exp2 expm1 log log2 log10 "
           "log1p sqrt rsqrt sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh erf erfc erfinv "
           "sigmoid tanh pow float_power special_expit lgamma digamma polygamma hypot logit special_erf "
           "special_log1p xlogy special_xlogy logaddexp logaddexp2 special_exp2 special_expm1 sinc i0 "
           "special_i0 angle igamma igammac special_zeta special_xlog1py special_entr special_erfcx "
           "special_airy_ai special_i0e special_i1 special_i1e special_log_ndtr special_ndtri "
           "special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1 "
           "special_spherical_bessel_j0 special_modified_bessel_i0 special_modified_bessel_i1 "
           "special_modified_bessel_k0 special_modified_bessel_k1 special_scaled_modified_bessel_k0 "
           "special_scaled_modified_bessel_k1 special_chebyshev_polynomial_t special_chebyshev_polynomial_u "
           "special_chebyshev_polynomial_v special_chebyshev_polynomial_w special_hermite_polynomial_h "
           "special_hermite_polynomial_he special_laguerre_polynomial_l special_legendre_polynomial_p "
           "special_shifted_chebyshev_polynomial_t special_shifted_chebyshev_polynomial_u "
           "special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w"),
    (2, 0, "hardsigmoid hardsigmoid_backward softshrink hardshrink prelu _prelu_kernel "
           "softshrink_backward hardshrink_backward"),
    (3, 0, "addcmul lerp hardswish hardswish_backward sigmoid_backward tanh_backward"),
    (3, 1, "softplus elu celu selu softplus_backward elu_backward softsign"),
    (4, 1, "addcdiv silu silu_backward mish mish_backward log_sigmoid log_sigmoid_forward "
           "log_sigmoid_backward glu glu_backward logit_backward"),
)  # fmt: skip
# Arguments of the schema where they are not one; a tensor behind them is `out=`, written and not read.
_ARGUMENTS = {
    name: count for count, names in (
        (2, "mul multiply div divide true_divide floor_divide remainder fmod pow float_power atan2 hypot "
            "minimum maximum fmin fmax clamp_min clamp_max eq ne lt le gt ge greater less logical_and "
            "logical_or logical_xor bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
            "bitwise_right_shift copysign heaviside ldexp xlogy special_xlogy logaddexp logaddexp2 prelu "
            "_prelu_kernel leaky_relu logit polygamma softshrink hardshrink silu_backward mish_backward "
            "tanh_backward sigmoid_backward hardsigmoid_backward hardswish_backward "
            "native_dropout_backward gelu gcd lcm nextafter igamma igammac special_zeta special_xlog1py "
            "special_chebyshev_polynomial_t special_chebyshev_polynomial_u special_chebyshev_polynomial_v "
            "special_chebyshev_polynomial_w special_hermite_polynomial_h special_hermite_polynomial_he "
            "special_laguerre_polynomial_l special_legendre_polynomial_p "
            "special_shifted_chebyshev_polynomial_t special_shifted_chebyshev_polynomial_u "
            "special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w"),
        (3, "add sub rsub subtract clamp clip hardtanh threshold threshold_backward lerp softplus "
            "gelu_backward log_sigmoid_backward hardshrink_backward softshrink_backward logit_backward "
            "native_dropout_backward _masked_scale"),
        (4, "addcmul addcdiv elu celu nan_to_num hardtanh_backward leaky_relu_backward"),
        (5, "softplus_backward"),
        (6, "elu_backward"),
    ) for name in names.split()
}  # fmt: skip
# Places that hold a tensor in every overload of the schema, where that is not the first alone.
_TENSORS: dict[str, tuple[int, ...]] = {
    name: places for places, names in (
        ((0, 1),
         "minimum maximum fmin fmax logical_and logical_or logical_xor gcd lcm nextafter heaviside hypot "
         "atan2 ldexp logaddexp logaddexp2 igamma igammac lerp prelu _prelu_kernel threshold_backward "
         "gelu_backward hardtanh_backward leaky_relu_backward native_dropout_backward _masked_scale "
         "hardsigmoid_backward softshrink_backward hardshrink_backward hardswish_backward sigmoid_backward "
         "logit_backward "
         "tanh_backward softplus_backward silu_backward mish_backward"),
        ((0, 1, 2), "addcmul addcdiv log_sigmoid_backward"),
        ((0, 5), "elu_backward"),
        ((),
         "pow float_power remainder xlogy polygamma bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
         "bitwise_right_shift"),
    ) for name in names.split()
}  # fmt: skip
_COMPARISONS = frozenset({
    "eq", "ne", "lt", "le", "gt", "ge", "greater", "less", "logical_and", "logical_or", "logical_xor",
    "logical_not", "isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit",
})  # fmt: skip
_ALWAYS_FLOATING = frozenset({
    "div", "divide", "true_divide", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt",
    "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh",
    "atanh", "erf", "erfc", "sigmoid", "tanh", "reciprocal", "copysign", "xlogy", "special_xlogy", "sinc",
    "digamma", "lgamma", "erfinv", "logit", "polygamma", "deg2rad", "rad2deg", "special_expit",
    "special_erf", "special_log1p", "special_exp2", "special_expm1", "i0", "special_i0", "hypot", "angle",
    "ldexp",
})  # fmt: skip
_FRACTION = re.compile(r"-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|inf|nan)", re.IGNORECASE)
_WHOLE = re.compile(r"-?\d+")
_AS_THEIR_INPUT = ("hardtanh", "relu6", "threshold", "nan_to_num", "polygamma")
_TABLE = {name: (flops, special) for flops, special, names in _COUNTS for name in names.split()}
_SOURCE = "aten/src/ATen/native/TensorIterator.cpp: shapes and types; FLOPs by this project's convention"
_ONE_TENSOR = "both inputs are one tensor, read once"
_NOT_HERE = {"clone", "where", "masked_fill", "dropout_mask", "glu", "glu_backward", "relu_", "equal_"}
_NAMES = [name for name in _TABLE if name not in _NOT_HERE]


def _in_place(name: str) -> str | None:
    """`add` -> `add_`; operators spelled with underscores have none."""
    return None if name.startswith("__") or name.endswith("_backward") else f"{name}_"


_ALL = [f"aten::{n}" for name in _NAMES for n in (name, _in_place(name)) if n]


def base_name(name: str) -> str:
    """`aten::add_` -> `add`."""
    bare = name.removeprefix("aten::")
    return bare if bare in _TABLE else bare.removesuffix("_")


def counts(name: str) -> tuple[int, int] | None:
    """Nominal FLOPs and special functions an element of a bare operator name; None where it has no line."""
    return _TABLE.get(name)


@op_cost(*_ALL, source=_SOURCE, fusible="element")
def pointwise(call: OpCall) -> Cost:
    """out[i] = f(a[i], b[i], ...) with inputs broadcast

    FLOPs = nominal operations of f * elements of out
    Bytes = every tensor input read, out written; in place: the first input is read and written
    Assumes each argument is a tensor of its own, unless the operator that calls it proves them one (isnan);
    scalars and 0-dim tensors cost nothing.
    """
    flops, special = _TABLE[base_name(call.name)]
    return elementwise(call, flops, special)


def elementwise(call: OpCall, flops: int, special: int) -> Cost:
    """Cost of an element-wise op with so many FLOPs, of them special functions, an element."""
    name = base_name(call.name)
    recorded(call, *_TENSORS.get(name, () if name.startswith("special_") else (0,)))
    inputs = [i for i in tensors(call) if i < _ARGUMENTS.get(name, 2 if name.startswith("__") else 1)]
    if not inputs:
        raise Missing("no_shapes", f"no input of {call.name} is recorded as a tensor")
    in_place = call.name.endswith("_") and not call.name.endswith("__")
    dims = shape(call, 0) if in_place else broadcast(*(shape(call, i) for i in inputs))
    kinds = [dtype(call, i) for i in inputs]
    common = promote(kinds)
    if name not in _AS_THEIR_INPUT:
        common = _with_numbers(call, name, common)
    result = dtype(call, 0) if in_place else _result(name, common)
    # The overload with a rounding mode, whose text profilers leave out, has a third argument; so has `out=`.
    if name in ("div", "divide") and len(call.concrete) > 2 and not has(call, 2):
        result = dtype(call, 0) if in_place else common
    size = numel(dims)
    read = sum(bytes_read(call, i) for i in inputs if i not in call.repeated)
    return Cost(
        flops * size, read, size * ITEMSIZE[result], "vector", vector_precision(common),
        special_functions=special * size, note=_ONE_TENSOR if call.repeated else "",
    )  # fmt: skip


def _kind(name: str) -> int:
    """Booleans, integers, floating and complex numbers, in the order in which they give way."""
    return 0 if name == "bool" else 3 if name.startswith("complex") else 2 if is_floating(name) else 1


def _with_numbers(call: OpCall, name: str, common: str) -> str:
    """A number, or a tensor of no dimension, decides only where it is of a later kind (torch.result_type).

    Python's numbers are recorded as text, or as fp64, complex128 or int64 of no dimension; they give the
    default type of their kind.
    """
    promoted = common
    for i, dims in enumerate(call.shapes):
        number_type, text = call.dtype(i), (call.value(i) or "").strip()
        factor = i == 2 and name in ("add", "sub", "rsub", "subtract")  # alpha
        if dims or factor or (number_type is None and not text):
            continue
        if number_type is None:
            number_type = _kind_of_text(text)
        if _kind(number_type) > _kind(promoted):
            promoted = _by_default(number_type, promoted)
    return promoted


def _kind_of_text(text: str) -> str:
    """Type of a number that is recorded as text: 2, 0.5, 0.+1.j."""
    if text.endswith("j"):
        return "complex128"
    return "fp64" if _FRACTION.fullmatch(text) else "int64" if _WHOLE.fullmatch(text) else "bool"


def _by_default(number_type: str, beside: str) -> str:
    """The type that a number of a kind takes: the default one, and a complex one of its neighbor's width."""
    if number_type.startswith("complex"):
        return {"fp64": "complex128", "fp16": "complex32"}.get(beside, "complex64")
    return "fp32" if number_type == "fp64" else number_type


def _result(name: str, common: str) -> str:
    if name in _COMPARISONS:
        return "bool"
    if (name in _ALWAYS_FLOATING or name.startswith("special_")) and not is_floating(common):
        return "fp32"
    if name in ("abs", "absolute", "angle") and common.startswith("complex"):
        return {"complex32": "fp16", "complex64": "fp32", "complex128": "fp64"}[common]
    return common


@op_cost("aten::gelu", "aten::gelu_", "aten::gelu_backward", source=_SOURCE, fusible="element")
def gelu(call: OpCall) -> Cost:
    """x * Phi(x), by erf or by tanh, and its gradient

    FLOPs = 5 (erf) or 8 (tanh) an element; the gradient's are counted alike
    Bytes = inputs read, out written
    Assumes erf where the argument is not recorded.
    """
    by_tanh = any("tanh" in text for text in call.concrete)
    return elementwise(call, 8 if by_tanh else 5, 1)


@op_cost("aten::_prelu_kernel_backward", source=_SOURCE, fusible="element")
def prelu_backward(call: OpCall) -> Cost:
    """Gradients of x and of the slope, the latter before it is summed

    FLOPs = 2 an element
    Bytes = gradient, x and slopes read, two tensors of x's size written
    Assumes the sum over the slope's gradient is an op of its own.
    """
    recorded(call, 0, 1, 2)
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(2 * numel(shape(call, 1)), read, 2 * bytes_of(call, 1), "vector", "fp32")


@op_cost("aten::where", source=_SOURCE, fusible="element")
def where(call: OpCall) -> Cost:
    """condition ? a : b

    FLOPs = 1 an element
    Bytes = condition, a and b read, out written
    Assumes the result has the type of a and b, not of the condition.
    """
    recorded(call, 0)
    inputs = tensors(call)
    if not inputs:
        raise Missing("no_shapes", f"no input of {call.name} is recorded as a tensor")
    dims = broadcast(*(shape(call, i) for i in inputs))
    values = [dtype(call, i) for i in inputs if i > 0] or [d for d in call.dtypes[1:] if d]
    size, precision = numel(dims), promote(values)
    return Cost(size, sum(bytes_read(call, i) for i in inputs), size * ITEMSIZE[precision], "vector", "fp32")


@op_cost("aten::masked_fill", "aten::masked_fill_", source=_SOURCE, fusible="element")
def masked_fill(call: OpCall) -> Cost:
    """mask ? value : x

    FLOPs = 1 an element
    Bytes = x read, the mask read before broadcasting, out written
    Assumes the whole result is written, in place too.
    """
    recorded(call, 0, 1)
    mask = [shape(call, 1)] if has(call, 1) else []
    dims = shape(call, 0) if call.name.endswith("_") else broadcast(shape(call, 0), *mask)
    size = numel(dims)
    written = size * ITEMSIZE[dtype(call, 0)]
    return Cost(size, bytes_read(call, 0) + bytes_read(call, 1), written, "vector", "fp32")


@op_cost("aten::native_dropout", "aten::_fused_dropout", "aten::bernoulli", source=_SOURCE, fusible="element")
def dropout(call: OpCall) -> Cost:
    """y = x * mask / (1 - p), and the mask

    FLOPs = 1 an element
    Bytes = x read, y and a mask of one byte an element written (bernoulli: only its result)
    Assumes p > 0: otherwise nothing is launched.
    """
    size = numel(shape(call, 0))
    mask = 0 if call.name == "aten::bernoulli" else size
    return Cost(size, bytes_read(call, 0), bytes_of(call, 0) + mask, "vector", "fp32")


@op_cost("aten::glu", "aten::glu_backward", source=_SOURCE, fusible="element")
def gated(call: OpCall) -> Cost:
    """a * sigmoid(b), a and b the halves of the input

    FLOPs = 4 an element of the output
    Bytes = inputs read; output half the input (backward: the whole gradient) written
    Assumes the halves are read once.
    """
    recorded(call, *range(2 if call.name.endswith("_backward") else 1))
    backward = call.name.endswith("_backward")
    whole = bytes_of(call, 1 if backward else 0)
    size = numel(shape(call, 1 if backward else 0)) // 2
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(4 * size, read, whole if backward else whole // 2, "vector", "fp32", special_functions=size)


@op_cost("aten::polar", "aten::complex", source=_SOURCE)
def complex_of(call: OpCall) -> Cost:
    """Complex numbers from two real tensors

    FLOPs = 4 an element (polar), 0 (complex)
    Bytes = both read, the complex result of twice their size written
    Assumes fp32 parts give complex64.
    """
    size = numel(broadcast(shape(call, 0), shape(call, 1)))
    read = bytes_read(call, 0) + bytes_read(call, 1)
    flops = 4 * size if call.name == "aten::polar" else 0
    return Cost(flops, read, 2 * size * ITEMSIZE[dtype(call, 0)], "vector", "fp32")


@op_cost("aten::_amp_update_scale_", source=_SOURCE)
def amp_scale(call: OpCall) -> Cost:
    """The gradient scaler's next scale: three scalars

    FLOPs = 1
    Bytes = 12 read, 8 written
    Assumes nothing.
    """
    return Cost(1, 12, 8, "vector", "fp32")
