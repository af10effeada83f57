"""FLOPs and bytes of a recorded call once more: the operator is run on tensors without memory.

PyTorch itself says what comes out (device `meta`), its schema what is written, its counter what a product
takes. Operators without such a kernel have their schema written here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.pipeline.second.recorded import TYPES, Call


@dataclass(frozen=True)
class Work:
    """What one call reads and writes; FLOPs None where only bytes are compared."""

    flops: int | None
    bytes: int


CODES = dict(enumerate((
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32,
    torch.float64, None, torch.complex64, torch.complex128, torch.bool, None, None, None, torch.bfloat16,
)))  # fmt: skip
# Written without being read, whatever the schema's alias says; and arguments that only lend their size.
WRITE_ONLY = {"aten::copy_": {"self"}, "aten::fill_": {"self"}, "aten::zero_": {"self"},
              "aten::_foreach_copy_": {"self"}}  # fmt: skip
SIZE_ONLY = {
    "aten::max_pool2d_with_indices_backward": {"self"}, "aten::avg_pool2d_backward": {"self"},
    "aten::native_layer_norm_backward": {"bias"},
}  # fmt: skip
# Each element's loss is written; the mean is the work of another operator (Loss.cpp).
WRITES_ALL = {"aten::mse_loss": "self"}
# Elements read are those that come out, not all there are.
GATHERING = {"aten::gather": "self", "aten::index_select": "self", "aten::embedding": "weight"}
# Schemas of other packages' operators: enough of them to tell reads from writes.
SCHEMAS = {
    "_C::rms_norm": "f(Tensor(a!) out, Tensor x, Tensor w) -> ()",
    "_C::fused_add_rms_norm": "f(Tensor(a!) x, Tensor(b!) residual, Tensor w) -> ()",
    "_C::static_scaled_fp8_quant": "f(Tensor(a!) out, Tensor x, Tensor scale) -> ()",
    "fbgemm::permute_pooled_embs_auto_grad": "f(Tensor x, Tensor o, Tensor p) -> Tensor",
    "fbgemm::recat_embedding_grad_output_mixed_D_batch": "f(Tensor x, Tensor d, Tensor c) -> Tensor",
    "FusedLayerNormAffineFunction": "f(Tensor x, Tensor w, Tensor b) -> Tensor",
    "aten::cudnn_batch_norm": "f(Tensor x, Tensor w, Tensor b, Tensor m, Tensor v) -> Tensor",
    "aten::cudnn_batch_norm_backward": "f(Tensor x, Tensor dy, Tensor w) -> Tensor",
}
PRODUCTS = ("convolution", "mm", "addmm", "bmm", "baddbmm", "_scaled_mm", "_grouped_mm")
NOMINAL = {
    **dict.fromkeys(("add", "add_", "sub", "mul", "mul_", "neg", "eq", "clamp_min", "threshold_backward",
                     "masked_fill_", "maximum"), 1),
    **dict.fromkeys(("div", "div_", "sqrt", "exp", "tanh", "sigmoid", "pow"), 1),
    "addcmul_": 3, "addcdiv_": 4, "silu": 4, "copy_": 0, "fill_": 0, "clone": 0, "cat": 0,
}  # fmt: skip
VENDORS = re.compile(r"aten::(cudnn|miopen|mkldnn)_convolution(_transpose)?$")
PARTS = re.compile(r"aten::(?:cudnn|miopen)_convolution_backward_(input|weight)$")


def distinct(tensor: torch.Tensor) -> int:
    """Bytes of the elements that a tensor really has; none of one without dimensions."""
    if not tensor.dim():
        return 0
    sizes = (size if stride else 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return prod(sizes) * tensor.element_size()


def work(call: Call) -> Work | None:
    """None where there is no rule."""
    vendor = VENDORS.match(call.name)
    if vendor:
        return _convolution(call, vendor[1], transposed=bool(vendor[2]))
    if call.name in SCHEMAS:
        return _by_schema(call)
    rule = BY_HAND.get(call.name)
    if rule is not None:
        return rule(call)
    if call.name == "aten::convolution_backward":
        return _gradients(call)
    if not call.name.startswith("aten::"):
        return None
    for overload in _overloads(call.name):
        with contextlib.suppress(*_NOT_THIS_ONE):
            return _run(call, overload)
    with contextlib.suppress(*_NOT_THIS_ONE):
        if call.name == "aten::native_layer_norm_backward" and not call.concrete:
            return _layer_norm_gradients(call)
        if call.name == "aten::_scaled_mm":
            return _scaled_product(call)
    return None


_NOT_THIS_ONE = (TypeError, RuntimeError, ValueError, IndexError, NotImplementedError, KeyError)


def _overloads(name: str) -> Iterator[Any]:
    packet = getattr(torch.ops.aten, name.removeprefix("aten::"), None)
    for overload in packet.overloads() if packet is not None else ():
        yield getattr(packet, overload)


def _run(call: Call, overload: Any) -> Work:
    """The call on tensors without memory; TypeError and others where it is not one of this overload."""
    arguments, by_name = [], {}
    read, whole = 0, 0
    written: list[torch.Tensor] = []
    gathered = GATHERING.get(call.name)
    schema = overload._schema
    if len(call.types) > len(schema.arguments):
        raise TypeError("more arguments than the overload has")
    for place, declared in enumerate(schema.arguments[: len(call.types)]):
        value = _value(call, place, declared)
        if declared.kwarg_only:
            by_name[declared.name] = value
        else:
            arguments.append(value)
        given = value if isinstance(value, list) else [value]
        tensors = [each for each in given if isinstance(each, torch.Tensor)]
        mutated = declared.alias_info is not None and declared.alias_info.is_write
        if mutated:
            written += tensors
        only = declared.is_out or declared.name in WRITE_ONLY.get(call.name, ())
        only |= declared.name == "self" and _without_self(call)
        if declared.name == gathered:
            whole = sum(map(distinct, tensors))
        if declared.name == WRITES_ALL.get(call.name):
            written += tensors
        if not only and declared.name != gathered and declared.name not in SIZE_ONLY.get(call.name, ()):
            read += sum(map(distinct, tensors))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        result = overload(*arguments, **by_name)
    results = [result] if isinstance(result, torch.Tensor) else [r for r in result or () if r is not None]
    fresh = written or [r for r in results if isinstance(r, torch.Tensor)]
    made = sum(r.numel() * r.element_size() for r in fresh)
    if gathered:
        read += min(made, whole)  # no element is needed twice
    return Work(_flops(call, counter.get_total_flops(), fresh), read + made)


def _scaled_product(call: Call) -> Work:
    """C[m,n] = A[m,k] @ B[k,n] in 8 bits into a given C, scales of no dimension."""
    left, right, out = call.tensor(0), call.tensor(1), call.tensor(8)
    return Work(2 * left.shape[0] * left.shape[1] * right.shape[1], sum(map(distinct, (left, right, out))))


def _layer_norm_gradients(call: Call) -> Work:
    """dY, X, the statistics and the weight read; gradients of X, weight and bias made."""
    gradient, given, mean, deviation, weight = (call.tensor(i) for i in (0, 1, 3, 4, 5))
    read = sum(map(distinct, (gradient, given, mean, deviation, weight)))
    return Work(None, read + distinct(given) + 2 * distinct(weight))


def _triangle(call: Call) -> Work:
    """Half of the square read, all of it written."""
    count, width, _ = call.dims[0]
    return Work(None, 2 * count * (width * (width + 1) // 2 + width * width))


def _rotation(call: Call) -> Work:
    """Queries and keys in and out, a row of cached values and a position a token."""
    positions, queries, keys, cached = (call.tensor(i) for i in (0, 1, 2, 4))
    row = cached.shape[1] * cached.element_size()
    part = cached.shape[1] / int(call.concrete[3])
    moved = 2 * part * (distinct(queries) + distinct(keys))
    return Work(None, int(moved) + distinct(positions) + positions.numel() * row)


def _into_cache(call: Call) -> Work:
    """Keys and values in, as many elements of the cache's type out, a slot a token."""
    keys, values, cache, slots = (call.tensor(i) for i in (0, 1, 2, 4))
    count = keys.numel() + values.numel()
    return Work(None, distinct(keys) + distinct(values) + count * cache.element_size() + distinct(slots))


def _without_self(call: Call) -> bool:
    """beta = 0: what would be added is not looked at (torch.baddbmm)."""
    return call.name in ("aten::addmm", "aten::baddbmm") and call.concrete[3:4] in (("0",), ("0.",), ("0.0",))


def _value(call: Call, place: int, declared: Any) -> Any:
    """One argument as Python takes it."""
    kind = str(declared.type)
    if call.types[place] == "TensorList":
        return call.tensors(place)
    if call.is_tensor(place) and "Tensor" in kind:
        return call.tensor(place)
    if call.is_tensor(place) and kind == "number":
        return 1.0  # a tensor of no dimension that was given for a number
    text = call.concrete[place] if place < len(call.concrete) else ""
    if kind == "number" and not text:
        return 0.0  # traces before torch 2.1 hold no numbers; none of these decides what is moved
    if text in ("", "None"):
        optional = "Optional" in kind or not declared.has_default_value()
        return None if optional else declared.default_value
    if text.startswith("["):
        return [_number(part) for part in text.strip("[]").split(",") if part.strip()]
    if text in ("True", "False"):
        return text == "True"
    if declared.name == "dtype":
        return CODES[int(text)]
    if declared.name in ("layout", "device", "memory_format", "pin_memory"):
        return None
    return text if "str" in kind else _number(text)


def _number(text: str) -> Any:
    text = text.strip()
    if text in ("True", "False"):
        return text == "True"
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _flops(call: Call, counted: int, made: list[torch.Tensor]) -> int | None:
    bare = call.name.removeprefix("aten::")
    if bare == "_flash_attention_forward":  # torch's counter takes its (B, T, H, d) for (B, H, T, d)
        (batch, queries, heads, width), keys = call.dims[0], call.dims[1][1]
        causal = call.concrete[8] == "True"
        seen = sum(min(i + 1, keys) if causal else keys for i in range(queries))
        return int(4 * batch * heads * width * seen)
    if bare in PRODUCTS:
        return counted or None
    if bare in NOMINAL and made:
        return NOMINAL[bare] * sum(each.numel() for each in made)
    return None


def _convolution(call: Call, vendor: str, *, transposed: bool) -> Work | None:
    """One of a vendor's library as aten::convolution; the scalars stand in another order."""
    if not call.concrete:
        return None
    bias_first = vendor != "cudnn"
    places = range(3, 7) if bias_first else range(2, 6)
    if transposed:
        places = range(4, 8) if bias_first else range(3, 7)
        padding, stride, dilation, groups = (call.concrete[i] for i in (places[0] - 1, *places[1:]))
        extra = call.concrete[places[0]]
    else:
        padding, stride, dilation, groups = (call.concrete[i] for i in places)
        extra = "[0, 0]"
    bias = 2 if bias_first and call.is_tensor(2) and call.dims[2] else -1
    order = ("aten::convolution", (0, 1, bias), (stride, padding, dilation, str(transposed), extra, groups))
    name, tensors, scalars = order
    return work(_reordered(call, name, tensors, scalars))


def _reordered(call: Call, name: str, tensors: tuple[int, ...], scalars: tuple[str, ...]) -> Call:
    strides = call.strides or ((),) * len(call.dims)  # torch before 2.1 records none
    given = [(call.dims[i], call.types[i], strides[i]) if i >= 0 else ((), "", ()) for i in tensors]
    rest = len(scalars)
    return replace(
        call, name=name,
        dims=tuple(g[0] for g in given) + ((),) * rest, types=tuple(g[1] for g in given) + ("Scalar",) * rest,
        strides=tuple(g[2] for g in given) + ((),) * rest, concrete=("",) * len(given) + scalars,
    )  # fmt: skip


def _gradients(call: Call) -> Work | None:
    """convolution_backward(dY, X, W, ...): each gradient as one forward; groups without torch's excess."""
    if len(call.concrete) < 11:
        return None
    wants = [part.strip() == "True" for part in call.concrete[10].strip("[]").split(",")]
    gradient, given, weight = (call.tensor(i) for i in range(3))
    transposed = call.concrete[7] == "True"
    values = given.numel() * weight.numel() // weight.shape[0] if transposed else (
        gradient.numel() * weight.numel() // weight.shape[0])  # fmt: skip
    flops = 2 * values * (wants[0] + wants[1]) + gradient.numel() * wants[2]
    moved = distinct(gradient)
    if wants[0]:
        moved += distinct(weight) + given.numel() * given.element_size()
    if wants[1]:
        moved += distinct(given) + weight.numel() * weight.element_size()
    return Work(flops, moved + wants[2] * gradient.shape[1] * gradient.element_size())


def _put(call: Call) -> Work | None:
    """Values read and written in their places, and what is there read where they are added; no indices."""
    if len(call.concrete) < 4 or not call.is_tensor(2):
        return None
    size = call.tensor(2).numel() * call.tensor(2).element_size()
    return Work(None, size * (3 if call.concrete[3] == "True" else 2))


BY_HAND: dict[str, Callable[[Call], Work | None]] = {
    "aten::_index_put_impl_": _put,
    "ScaledUpperTriangMaskedSoftmax": _triangle,
    "_C::rotary_embedding": _rotation,
    "_C_cache_ops::reshape_and_cache_flash": _into_cache,
}


def _by_schema(call: Call) -> Work:
    """Tensors by the schema written here: a result that is an argument, or one like the first."""
    schema = torch._C.parse_schema(SCHEMAS[call.name])
    moved = 0
    for place, declared in enumerate(schema.arguments):
        if not call.is_tensor(place):
            continue
        size = distinct(call.tensor(place))
        writes = declared.alias_info is not None and declared.alias_info.is_write
        moved += size * (writes + (declared.name != "out"))
    if schema.returns:
        moved += distinct(call.tensor(0))
    return Work(None, moved)


def item_type(kernels: list[str]) -> torch.dtype | None:
    """The one type that all kernels of a list operator name first."""
    first = (_ITEM.search(name) for name in kernels)
    found = {match[1] or match[2] for match in first if match}
    return (TYPES | SIZES)[found.pop()] if len(found) == 1 else None


# Copies know the size of an item only: any type of that size will do.
SIZES = {"1": torch.uint8, "2": torch.int16, "4": torch.int32, "8": torch.int64}
_ITEM = re.compile(r"OpaqueType<(\d)u?>|<(?:[^<>]*<)*?(float|c10::BFloat16|c10::Half|long)\b")
