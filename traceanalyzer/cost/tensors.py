"""What formulas read from an OpCall: sizes, elements really read, bytes, arguments given as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from traceanalyzer.cost.registry import Missing
from traceanalyzer.records import Dims, OpCall, Shape
from traceanalyzer.records.units import ITEMSIZE

_ORDER = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "fp8_e8m0", "fp8_e5m2", "fp8_e4m3", "bf16", "fp16", "fp32", "fp64", "complex32", "complex64",
    "complex128",
)  # fmt: skip
_RANK = {name: place for place, name in enumerate(_ORDER)}
_TRUE = ("True", "true", "1")


def is_true(text: str) -> bool:
    """Whether a recorded value is true; profilers spell it differently."""
    return text.strip() in _TRUE


def shape(call: OpCall, i: int) -> Shape:
    """Dims of input `i`, which must be a tensor of at least one dimension."""
    dims = call.shapes[i] if i < len(call.shapes) else ()
    if dims == () or isinstance(dims[0], tuple):
        raise Missing("no_shapes", f"input {i} of {call.name} has no dims")
    return tuple(int(d) for d in dims if not isinstance(d, tuple))


def has(call: OpCall, i: int) -> bool:
    """Input `i` is a tensor of at least one dimension."""
    return 0 <= i < len(call.shapes) and call.shapes[i] != () and not isinstance(call.shapes[i][0], tuple)


def shapes_in(call: OpCall, i: int) -> list[Shape]:
    """Dims of the tensors in list `i`; those of zero dimensions are ()."""
    dims = call.shapes[i] if i < len(call.shapes) else ()
    return [tuple(d) for d in dims if isinstance(d, tuple)]


def is_list(call: OpCall, i: int) -> bool:
    """Input `i` is a list of tensors."""
    return i < len(call.shapes) and call.shapes[i] != () and isinstance(call.shapes[i][0], tuple)


def dtype(call: OpCall, i: int) -> str:
    """Canonical dtype of input `i`; of its items where it is a list."""
    if i < len(call.types) and call.types[i] == "TensorList" and not is_list(call, i):
        raise Missing("no_shapes", f"the dims of list {i} of {call.name} were left out by the profiler")
    found = call.list_dtype if is_list(call, i) else (call.dtypes[i] if i < len(call.dtypes) else None)
    if found is None:
        raise Missing("no_dtype", f"the type of input {i} of {call.name} is not recorded")
    return found


def itemsize(call: OpCall, i: int) -> int:
    """Bytes of one element of input `i`."""
    return ITEMSIZE[dtype(call, i)]


def numel(dims: Shape) -> int:
    """Elements of a tensor; 1 for one of zero dimensions."""
    return prod(dims)


def elements_read(call: OpCall, i: int) -> int:
    """Distinct elements of input `i`: an expanded dimension once, and no more than the strides span."""
    return _distinct(shape(call, i), call.input_strides[i] if i < len(call.input_strides) else ())


def _distinct(dims: Shape, strides: Dims) -> int:
    if len(strides) != len(dims):
        return numel(dims)
    if 0 in dims:
        return 0
    count, span = 1, 1
    for size, stride in zip(dims, strides, strict=True):
        if isinstance(stride, int) and stride:
            count *= size
            span += (size - 1) * stride
    return min(count, span)  # windows that overlap, as unfold makes them, share places


def bytes_read(call: OpCall, i: int) -> int:
    """Bytes of reading input `i` once; 0 where it is absent or a scalar."""
    return elements_read(call, i) * itemsize(call, i) if has(call, i) else 0


def bytes_of(call: OpCall, i: int) -> int:
    """Bytes of input `i` in full, as when it is written; 0 where it is absent."""
    return numel(shape(call, i)) * itemsize(call, i) if has(call, i) else 0


def list_bytes(call: OpCall, i: int) -> int:
    """Bytes of the tensors in list `i`, in full, as when they are written."""
    return sum(map(numel, shapes_in(call, i))) * itemsize(call, i)


def list_bytes_read(call: OpCall, i: int) -> int:
    """Bytes of reading every tensor of list `i` once, expanded dimensions once."""
    return list_elements_read(call, i) * itemsize(call, i)


def list_elements_read(call: OpCall, i: int) -> int:
    """Distinct elements of the tensors in list `i`."""
    items = call.shapes[i] if i < len(call.shapes) else ()
    strides = call.input_strides[i] if i < len(call.input_strides) else ()
    if len(strides) != len(items):
        return sum(map(numel, shapes_in(call, i)))
    pairs = [(d, s) for d, s in zip(items, strides, strict=True) if isinstance(d, tuple)]
    return sum(_distinct(d, s if isinstance(s, tuple) else ()) for d, s in pairs)


def tensors(call: OpCall) -> list[int]:
    """Inputs that are tensors of at least one dimension; scalars count neither in bytes nor in types."""
    return [i for i in range(len(call.shapes)) if has(call, i)]


def broadcast(*dims: Sequence[int]) -> Shape:
    """Shape of an element-wise result; ValueError where the shapes do not fit."""
    rank = max(map(len, dims), default=0)
    result = []
    for column in zip(*((1,) * (rank - len(d)) + tuple(d) for d in dims), strict=True):
        sizes = {c for c in column if c != 1}
        if len(sizes) > 1:
            raise ValueError(f"shapes {dims} do not broadcast")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def promote(names: Sequence[str]) -> str:
    """Result type of an element-wise op (torch.promote_types for the types in use)."""
    if not names:
        raise Missing("no_dtype", "no tensor input has a recorded type")
    kinds = set(names)
    if {"fp16", "bf16"} <= kinds and not kinds & {"fp32", "fp64", "complex64", "complex128"}:
        return "fp32"
    if "complex64" in kinds and "fp64" in kinds:
        return "complex128"
    return max(kinds, key=_RANK.__getitem__)


def is_floating(name: str) -> bool:
    """Whether a canonical dtype is a floating-point or complex one."""
    return _RANK[name] >= _RANK["fp8_e8m0"]


def argument(call: OpCall, i: int) -> str:
    """Text of argument `i`; Missing where the trace records no concrete inputs (torch up to 2.0)."""
    if i >= len(call.concrete):
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is not recorded")
    return call.concrete[i]


def integers(call: OpCall, i: int) -> list[int]:
    """A list argument such as "[1, 1]", or one integer."""
    return [int(text) for text in re.findall(r"-?\d+", argument(call, i))]


def sizes(call: OpCall, i: int) -> Shape:
    """Dims given as argument `i`; Missing where its text is blank, for "[]" is a scalar and "" is unknown."""
    if argument(call, i).strip() in ("", "None"):
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is recorded without its value")
    return tuple(integers(call, i))


def flag(call: OpCall, i: int) -> bool:
    """A boolean argument; Missing where it is not recorded."""
    return is_true(argument(call, i))


def vector_precision(name: str) -> str:
    """ATen computes half-precision elements in fp32; integers are held against fp32 as well."""
    return "fp64" if name in ("fp64", "complex128") else "fp32"


def matrix_precision(name: str) -> str:
    """Precision of the matrix peak for inputs of this type."""
    if name.startswith("fp8"):
        return "fp8"
    if name in ("int8", "uint8"):
        return "int8"
    return {"complex64": "fp32", "complex128": "fp64"}.get(name, name)
