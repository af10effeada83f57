"""What formulas read from an OpCall: sizes, elements really read, bytes, arguments given as text.

Every accessor raises Missing, with the reason, where what it is asked for is not recorded or cannot be: a
negative size, a dimension beyond the rank, shapes that do not fit. So a formula that reads with them
never fails, and never counts what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import SupportsIndex, overload

from traceanalyzer.cost.registry import INT64_MAX, Missing
from traceanalyzer.records import Dims, OpCall, Shape
from traceanalyzer.records.units import ITEMSIZE

_ORDER = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "fp4", "fp8_e8m0", "fp8_e5m2", "fp8_e4m3", "bf16", "fp16", "fp32", "fp64", "complex32", "complex64",
    "complex128",
)  # fmt: skip
_RANK = {name: place for place, name in enumerate(_ORDER)}
_TRUE = ("True", "true", "1")
_WORD = re.compile(r"[^\[\](),\s'\"]+")
_WHOLE = re.compile(r"-?[0-9]{1,19}")  # no int64 is longer


def is_true(text: str) -> bool:
    """Whether a recorded value is true; profilers spell it differently."""
    return text.strip() in _TRUE


class Sizes(tuple[int, ...]):
    """Dims of a tensor; one beyond its rank is Missing: the formula is about tensors of more dimensions."""

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> Sizes: ...
    def __getitem__(self, key: SupportsIndex | slice) -> int | Sizes:
        if isinstance(key, slice):
            return Sizes(super().__getitem__(key))
        try:
            return super().__getitem__(key)
        except IndexError:
            detail = f"a tensor of {len(self)} dimensions is recorded where more are expected"
            raise Missing("no_shapes", detail) from None


def shape(call: OpCall, i: int) -> Sizes:
    """Dims of input `i`, which must be a tensor of at least one dimension."""
    if not has(call, i):
        raise Missing("no_shapes", f"input {i} of {call.name} has no dims")
    return _possible(call, i, call.shapes[i])


def ranked(call: OpCall, i: int, rank: int) -> Sizes:
    """Dims of input `i`, which must be a tensor of `rank` dimensions."""
    dims = shape(call, i)
    if len(dims) != rank:
        raise Missing("no_shapes", f"input {i} of {call.name} has {len(dims)} dimensions, not {rank}")
    return dims


def _possible(call: OpCall, i: int, dims: Dims) -> Sizes:
    sizes_of_dims = _sizes(dims)
    if sizes_of_dims is None:
        raise Missing("no_shapes", f"the recorded dims of input {i} of {call.name} cannot be")
    return sizes_of_dims


# Calls repeat their dims, and a formula asks for them several times.
@lru_cache(maxsize=65536)
def _sizes(dims: Dims) -> Sizes | None:
    """None where no tensor has such dims: one is negative or no size, or its elements cannot be counted."""
    counted = Sizes(size for size in dims if isinstance(size, int))
    return counted if len(counted) == len(dims) and _elements(counted) is not None else None


@lru_cache(maxsize=65536)
def _elements(dims: Shape) -> int | None:
    """Elements of a tensor of these dims; None where there is no such tensor."""
    count = prod(dims)
    return count if all(0 <= size <= INT64_MAX for size in dims) and count <= INT64_MAX else None


def has(call: OpCall, i: int) -> bool:
    """Input `i` is a tensor of at least one dimension."""
    dims = call.dims(i)
    return dims != () and not isinstance(dims[0], tuple)


def recorded(call: OpCall, *places: int) -> None:
    """Missing where one of these inputs, tensors all, is recorded neither with dims nor with a type.

    What the operator may be called without is no more than left out of the bytes; what it always has is not
    zero for not being known.
    """
    for i in places:
        if not call.dims(i) and call.dtype(i) is None:
            raise Missing("no_shapes", f"input {i} of {call.name} is not recorded as a tensor")


def shapes_in(call: OpCall, i: int) -> list[Shape]:
    """Dims of the tensors in list `i`, which may be absent; those of zero dimensions are ()."""
    if has(call, i):
        raise Missing("no_shapes", f"input {i} of {call.name} is recorded as one tensor, not as a list")
    return [_possible(call, i, dims if isinstance(dims, tuple) else (-1,)) for dims in call.dims(i)]


def listed(call: OpCall, i: int) -> list[Shape]:
    """Dims of the tensors in list `i`, which must be recorded."""
    if not is_list(call, i):
        dtype(call, i)  # which knows why
        raise Missing("no_shapes", f"input {i} of {call.name} is not recorded as a list")
    return shapes_in(call, i)


def is_list(call: OpCall, i: int) -> bool:
    """Input `i` is a list of tensors."""
    dims = call.dims(i)
    return dims != () and isinstance(dims[0], tuple)


def dtype(call: OpCall, i: int) -> str:
    """Canonical dtype of input `i`; of its items where it is a list."""
    if i < len(call.types) and call.types[i] == "TensorList" and not is_list(call, i):
        raise Missing("no_shapes", f"the dims of list {i} of {call.name} were left out by the profiler")
    recorded_dtype = call.list_dtype if is_list(call, i) else call.dtype(i)
    if recorded_dtype is None:
        raise Missing("no_dtype", f"the type of input {i} of {call.name} is not recorded")
    return recorded_dtype


def itemsize(call: OpCall, i: int) -> int:
    """Bytes of one element of input `i`."""
    return ITEMSIZE[dtype(call, i)]


def numel(dims: Shape) -> int:
    """Elements of a tensor, recorded or made; 1 for one of zero dimensions; Missing where it cannot be."""
    count = _elements(dims)
    if count is None:
        raise Missing("no_shapes", "the recorded sizes give a tensor that cannot be")
    return count


def quotient(size: int, by: int) -> int:
    """How many parts of `by` there are in `size`, rounded up; Missing where parts have no size."""
    if by < 1:
        raise Missing("no_shapes", "the recorded sizes do not determine those of the result")
    return -(-size // by)


def agree(call: OpCall, *sizes: int) -> None:
    """Missing where sizes that an operator wants to be equal are not: its inputs are not those recorded."""
    if len(set(sizes)) > 1:
        raise Missing("no_shapes", f"the recorded dims of the inputs of {call.name} do not fit each other")


def elements_read(call: OpCall, i: int) -> int:
    """Distinct elements of input `i`: an expanded dimension once, and no more than the strides span."""
    return _distinct(shape(call, i), call.strides(i))


def _distinct(dims: Shape, strides: Dims) -> int:
    if len(strides) != len(dims) or any(isinstance(stride, tuple) for stride in strides):
        return numel(dims)
    if 0 in dims:
        return 0
    count, span = 1, 1
    for size, stride in zip(dims, strides, strict=True):
        if isinstance(stride, int) and stride:
            count *= size
            span += (size - 1) * abs(stride)
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
    items, strides = shapes_in(call, i), call.strides(i)
    if len(strides) != len(items):
        return sum(map(numel, items))
    pairs = zip(items, strides, strict=True)
    return sum(_distinct(dims, given if isinstance(given, tuple) else ()) for dims, given in pairs)


def tensors(call: OpCall) -> list[int]:
    """Inputs that are tensors of at least one dimension; scalars count neither in bytes nor in types."""
    return [i for i in range(len(call.shapes)) if has(call, i)]


def broadcast(*dims: Sequence[int]) -> Shape:
    """Shape of an element-wise result; Missing where the shapes do not fit."""
    rank = max(map(len, dims), default=0)
    result = []
    for column in zip(*((1,) * (rank - len(d)) + tuple(d) for d in dims), strict=True):
        sizes = {c for c in column if c != 1}
        if len(sizes) > 1:
            raise Missing("no_shapes", "the recorded shapes do not broadcast")
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
    return _RANK[name] >= _RANK["fp4"]


def argument(call: OpCall, i: int) -> str:
    """Text of argument `i`; Missing where the trace records no concrete inputs (torch up to 2.0)."""
    if i >= len(call.concrete):
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is not recorded")
    return call.concrete[i]


def whole(text: str) -> int | None:
    """The number that a text is, where it is one that torch can be given: an int64."""
    text = text.strip()
    if not _WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if -INT64_MAX <= number <= INT64_MAX else None


def integers(call: OpCall, i: int) -> list[int]:
    """A list argument such as "[1, 1]", or one integer; Missing where its text is blank or anything else."""
    text = argument(call, i)
    numbers = [whole(word) for word in _WORD.findall(text) if word != "None"]
    whole_numbers = [number for number in numbers if number is not None]
    if not text.strip() or len(whole_numbers) < len(numbers):
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is recorded without its value")
    return whole_numbers


def integer(call: OpCall, i: int) -> int:
    """The first number of an argument; Missing where there is none."""
    numbers = integers(call, i)
    if not numbers:
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is recorded without its value")
    return numbers[0]


def count(call: OpCall, i: int) -> int:
    """An argument that says how many; Missing where it is negative."""
    number = integer(call, i)
    if number < 0:
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is recorded as less than none")
    return number


def each(call: OpCall, i: int, rank: int, default: Sequence[int] = ()) -> list[int]:
    """One number for each of `rank` dimensions: none is the default, one stands for all; Missing else."""
    numbers = integers(call, i) or list(default)
    numbers = numbers * rank if len(numbers) == 1 else numbers
    if len(numbers) != rank:
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} has not a number a dimension")
    return numbers


def axes(call: OpCall, i: int, dims: Shape) -> list[int]:
    """The dimensions that argument `i` names, counted from the first; Missing where it names others."""
    rank = len(dims)
    named = integers(call, i)
    if not all(-rank <= axis < rank for axis in named):
        raise Missing("no_shapes", f"argument {i} of {call.name} names a dimension that is not recorded")
    return [axis % rank for axis in named]


def sizes(call: OpCall, i: int) -> Sizes:
    """Dims given as argument `i`; Missing where its text is blank, for "[]" is a scalar and "" is unknown."""
    listed = Sizes(integers(call, i))
    if argument(call, i).strip() == "None" or _elements(listed) is None:
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is recorded without its value")
    return listed


def flag(call: OpCall, i: int) -> bool:
    """A boolean argument; Missing where it is not recorded, or without its value."""
    text = argument(call, i)
    if not text.strip():
        raise Missing("no_concrete_inputs", f"argument {i} of {call.name} is recorded without its value")
    return is_true(text)


def vector_precision(name: str) -> str:
    """ATen computes half-precision elements in fp32; integers are compared with the peak of fp32 as well."""
    return "fp64" if name in ("fp64", "complex128") else "fp32"


def matrix_precision(name: str) -> str:
    """Precision of the matrix peak for inputs of this type."""
    if name.startswith("fp8"):
        return "fp8"
    if name in ("int8", "uint8"):
        return "int8"
    return {"complex64": "fp32", "complex128": "fp64"}.get(name, name)
