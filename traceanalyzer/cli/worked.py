"""The worked example of `explain`: a call's inputs, FLOPs and bytes, and its roof time on a device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod

import msgspec

from traceanalyzer.cost.tensors import bytes_read, has, list_bytes_read
from traceanalyzer.records import Bounded, Cost, Device, Dims, OpCall, Shape, Unpriced
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess
from traceanalyzer.records.units import ITEMSIZE, canonical_dtype, digits, duration, si

_INPUT = re.compile(r"\[[^\]]*\]|[^,]+")  # a list of tensors, or one
_SIZES = re.compile(r"\d{1,18}(?:x\d{1,18})*", re.ASCII)
_NUMBER = re.compile(r"\s*(\d{1,2})\s*", re.ASCII)  # of an argument


class Inputs(msgspec.Struct, frozen=True):
    """The texts of `--dims`, `--dtypes`, `--strides` and `--value`."""

    dims: str
    dtypes: str
    strides: str = ""
    values: tuple[str, ...] = ()


def call_of(name: str, given: Inputs) -> OpCall:
    """The call as a trace would record it; UsageError where the options do not fit together."""
    shapes = tuple(_dims(text, "--dims") for text in _INPUT.findall(given.dims))
    types = [text.strip() for text in given.dtypes.split(",")]
    tensors = [i for i, shape in enumerate(shapes) if shape != ()]
    if len(types) == 1:
        types = types * len(tensors)
    if len(types) != len(tensors):
        raise UsageError(f"--dtypes names {len(types)} types for {len(tensors)} tensors",
                         fix="give one for each tensor, or one for all")  # fmt: skip
    kinds: list[str | None] = [None] * len(shapes)
    for i, text in zip(tensors, types, strict=True):
        kinds[i] = canonical_dtype(text)
        if kinds[i] is None:
            fix = guess(text, ITEMSIZE, f"use one of {', '.join(ITEMSIZE)}")
            raise UsageError(f"--dtypes: {text} is no type", fix=fix)
    strides = tuple(_dims(text, "--strides") for text in _INPUT.findall(given.strides))
    concrete = _values(given.values, len(shapes))
    lists = [kinds[i] for i in tensors if _is_list(shapes[i])]
    return OpCall(
        name=name, shapes=shapes,
        dtypes=tuple(None if _is_list(s) else k for s, k in zip(shapes, kinds, strict=True)),
        types=tuple("TensorList" if _is_list(s) else k or "" for s, k in zip(shapes, kinds, strict=True)),
        input_strides=strides, concrete=concrete, list_dtype=lists[0] if lists else None,
    )  # fmt: skip


def _dims(text: str, option: str) -> Dims:
    text = text.strip()
    if text.startswith("["):
        return tuple(_sizes(part, option) for part in text.strip("[]").split(",") if part.strip())
    return _sizes(text, option)


def _sizes(text: str, option: str) -> Shape:
    text = text.strip()
    if text in ("-", "_"):
        return ()
    if not _SIZES.fullmatch(text):
        raise UsageError(f"{option}: {text} is no size", fix="write 512x1024, [4x4,8] for a list, - for none")
    return tuple(int(size) for size in text.split("x"))


def _values(given: Sequence[str], count: int) -> tuple[str, ...]:
    """The texts of scalar arguments by their number; () where none is given."""
    values = {}
    for text in given:
        place, equals, value = text.partition("=")
        number = _NUMBER.fullmatch(place)
        if not equals or number is None:
            raise UsageError(f"--value {text}: names no argument",
                             fix='write its number, as in --value "3=[1, 1]"')  # fmt: skip
        values[int(number[1])] = value
    if not values:
        return ()
    return tuple(values.get(i, "") for i in range(max(count, max(values) + 1)))


def _is_list(dims: Dims) -> bool:
    return bool(dims) and isinstance(dims[0], tuple)


def worked(call: OpCall, cost: Cost | Unpriced, device: Device | None) -> Iterator[str]:
    """Line by line, 80 columns wide."""
    yield "With these inputs:"
    for i, dims in enumerate(call.shapes):
        if dims != ():
            yield _input(call, i)
    for i, text in enumerate(call.concrete):
        if text:
            yield f"  {i}  = {text}"
    yield ""
    if isinstance(cost, Bounded):
        yield f"between two ends: {cost.detail}"
        yield f"FLOPs      {cost.least.flops:,} to {cost.most.flops:,}"
        yield f"bytes      {si(cost.least.bytes, 'B')} to {si(cost.most.bytes, 'B')}"
        return
    if isinstance(cost, Unpriced):
        yield f"not priced: {cost.reason}" + (f": {cost.detail}" if cost.detail else "")
        if cost.read_bytes is not None and cost.write_bytes is not None:
            yield f"bytes      at least {si(cost.read_bytes, 'B')} read, {si(cost.write_bytes, 'B')} written"
        return
    yield f"FLOPs      {cost.flops:,}  ({si(cost.flops, 'FLOP')})"
    if cost.recomputed_flops:
        yield f"           {cost.recomputed_flops:,} of them computed again: not in MFU"
    yield f"bytes      {cost.read_bytes:,} read + {cost.write_bytes:,} written = {si(cost.bytes, 'B')}"
    if cost.bytes:
        yield f"intensity  {digits(cost.flops / cost.bytes)} FLOP/B"
    if cost.note:
        yield f"note       {cost.note}"
    if device is not None:
        yield from _under_roofs(cost, device)


def _input(call: OpCall, i: int) -> str:
    dims = call.dims(i)
    if _is_list(dims):
        text = ", ".join("x".join(map(str, each)) for each in dims if isinstance(each, tuple))
        return f"  {i}  {{{text}}} {call.list_dtype}  {si(list_bytes_read(call, i), 'B')}"
    sizes = [int(size) for size in dims if not isinstance(size, tuple)]
    read = bytes_read(call, i) if has(call, i) else 0
    precision = call.dtype(i) or ""
    whole = prod(sizes) * ITEMSIZE.get(precision, 0)
    distinct = f" of {si(whole, 'B')}, the rest being repeated" if read < whole else ""
    return f"  {i}  {sizes} {precision}  {si(read, 'B')}{distinct}"


def _under_roofs(cost: Cost, device: Device) -> Iterator[str]:
    """The peak and the bandwidth that hold, the roof time and the side of the ridge."""
    from traceanalyzer.roofline.precision import choose

    choice = choose(cost.engine, cost.precision, (), device, None, None)
    bandwidth = device.bandwidth_bytes_per_s
    yield ""
    if bandwidth is None or (choice.peak is None and cost.flops):
        yield f"{device.name}: no peak of {choice.engine} {choice.precision}, or no bandwidth"
        return
    memory_ns = cost.bytes / bandwidth * 1e9
    compute_ns = cost.flops / choice.peak * 1e9 if choice.peak else 0.0
    side = "compute" if cost.flops and compute_ns >= memory_ns else "memory"
    yield f"{device.name}:"
    yield f"  memory   {si(cost.bytes, 'B')} / {si(bandwidth, 'B/s')} = {duration(memory_ns)}"
    if choice.peak:
        yield (f"  compute  {si(cost.flops, 'FLOP')} / {si(choice.peak, 'FLOP/s')} = {duration(compute_ns)}"
               f"  ({choice.engine} {choice.precision})")  # fmt: skip
        yield f"  ridge    {digits(choice.peak / bandwidth)} FLOP/B"
    yield f"  roof time {duration(max(memory_ns, compute_ns))}: bound by {side}"
