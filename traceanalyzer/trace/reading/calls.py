"""Distinct operator calls: interned by the bytes of their arguments, parsed when somebody asks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, overload

import numpy as np

from traceanalyzer.records import Dims, OpCall, Shape
from traceanalyzer.records.call_facts import CallFacts
from traceanalyzer.records.units import canonical_dtype
from traceanalyzer.trace.reading.events import Args, clean

CallKey = tuple[int, bytes]  # name id, and one of `call_keys`
_SEPARATOR = b"\0"  # cannot stand in JSON text
_DECODER = json.JSONDecoder(strict=False)  # one for all: json.loads with an argument makes one a call
_TRITON = b'"triton"'
_NOTHING = (b"", b"[]")  # an argument list that is left out, and an empty one
_BLANKS = b" \n\r\t"
_DIGIT = re.compile(rb"\d")
_ELEMENTS = 2**62  # more than any tensor has
_SPACE = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|\s+', re.DOTALL)


def call_keys(args: list[Args]) -> Iterator[bytes]:
    """For each call, everything that distinguishes it from others of its operator, as recorded."""
    parts = [
        (each.dims, each.types, each.strides, each.concrete, each.legacy_dims, each.backend, each.flops)
        for each in args
    ]
    return map(_SEPARATOR.join, parts)


def compact(key: bytes) -> bytes:
    """The same without white space between tokens and without empty lists, for comparing."""
    return b"\0".join(b"" if part == b"[]" else part for part in _SPACE.sub(rb"\1", key).split(b"\0"))


def has_empty_part(key: bytes) -> bool:
    """Some argument list is written out as empty, which says the same as leaving it out."""
    return key.startswith(b"[]") or b"\0[]" in key


class Calls(Sequence[OpCall]):
    """Rows of `Raw.calls`. An OpCall is built on first access and kept."""

    def __init__(self, names: Sequence[str], keys: Sequence[CallKey]) -> None:
        self._names = names
        self._keys = keys
        self._parsed: dict[int, OpCall] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> OpCall: ...
    @overload
    def __getitem__(self, index: slice) -> list[OpCall]: ...
    def __getitem__(self, index: int | slice) -> OpCall | list[OpCall]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        call = self._parsed.get(index)
        if call is None:
            name, key = self._keys[index]  # an IndexError from here is the sequence's own
            call = self._parsed[index] = _parse(self._names[name], key)
        return call

    @cached_property
    def facts(self) -> CallFacts:
        """Of every call, from its text; nothing is parsed but types, of which few are distinct."""
        dims, typed, lists, concrete, triton = [], [], [], [], []
        for _, key in self._keys:
            shapes, types, _, values, legacy, backend, _ = key.split(b"\0")
            shapes = shapes.translate(None, _BLANKS) or legacy.translate(None, _BLANKS)
            nested = b"[[" in shapes[1:]
            lists.append(nested)
            dims.append(nested or _DIGIT.search(shapes) is not None)
            typed.append(_has_dtype(types))
            concrete.append(values not in _NOTHING)
            triton.append(backend == _TRITON)
        names = [self._names[name] for name, _ in self._keys]
        return CallFacts(names, *(np.array(flags, bool) for flags in (dims, typed, lists, concrete, triton)))


@lru_cache(maxsize=4096)
def _has_dtype(types: bytes) -> bool:
    return any(_types(types, 0)[1])


def _parse(name: str, key: bytes) -> OpCall:
    dims, types_text, strides, concrete, legacy, backend, flops = key.split(b"\0")
    shapes = tuple(map(_dims, _list_in(dims) or _list_in(legacy)))
    types, dtypes = _types(types_text, len(shapes))
    return OpCall(
        name=name,
        shapes=shapes,
        dtypes=dtypes,
        types=types,
        input_strides=tuple(map(_strides, _list_in(strides))),
        concrete=_texts(concrete),
        triton=backend == _TRITON,
        stated_flops=_count(flops),
    )


# Calls of one operator differ in their dims; their types and scalars repeat.
@lru_cache(maxsize=4096)
def _types(text: bytes, count: int) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """As recorded, and by this project's names; at least `count` of them."""
    types = tuple(clean(item) if isinstance(item, str) else "" for item in _list_in(text))
    types += ("",) * (count - len(types))  # torch 1.8 writes dims and leaves the types out
    return types, tuple(map(canonical_dtype, types))


@lru_cache(maxsize=4096)
def _texts(text: bytes) -> tuple[str, ...]:
    return tuple(clean(item) if isinstance(item, str) else json.dumps(item) for item in _list_in(text))


def _count(text: bytes) -> int | None:
    """A number of FLOPs, whole and above 0."""
    try:
        value = float(text.strip(b'"'))
        return int(value) if 0 < value < 2**63 else None
    except (ValueError, OverflowError):
        return None


def _list_in(text: bytes) -> list[Any]:
    if not text:
        return []
    try:
        value = _DECODER.decode(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else []


def _dims(item: Any) -> Dims:
    """Dims of one tensor, or of each tensor of a list; () for whatever is neither."""
    return _of_each(item, _shape)


def _strides(item: Any) -> Dims:
    return _of_each(item, _numbers)


def _of_each(item: Any, read: Callable[[Any], Shape]) -> Dims:
    if not isinstance(item, list) or not any(isinstance(part, list) for part in item):
        return read(item)
    nested = any(isinstance(size, list) for part in item if isinstance(part, list) for size in part)
    return () if nested else tuple(map(read, item))


def _shape(item: Any) -> Shape:
    """Dims that a tensor can have."""
    sizes = _numbers(item)
    return sizes if math.prod(sizes) < _ELEMENTS else ()


def _numbers(item: Any) -> Shape:
    """Whole numbers from 0 on, of less than 63 bits; () where it is anything else."""
    if isinstance(item, list) and all(type(size) is int and 0 <= size < _ELEMENTS for size in item):
        return tuple(item)
    return ()
