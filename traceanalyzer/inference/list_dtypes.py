"""The dtype of tensors in a list, which is not recorded: from the kernels that read them, or from neighbors.

Kernels of one list instantiate a template with the item's type (aten/src/ATen/native/cuda/Shape.cu,
MultiTensorApply.cuh). Copies of opaque bytes name only its size.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import msgspec
import numpy as np

from traceanalyzer.records import Dims, OpCall
from traceanalyzer.records.call_facts import call_facts, is_list
from traceanalyzer.records.trace import Bools, Kernels, Ops, RecordKind, distinct
from traceanalyzer.records.units import ITEMSIZE, canonical_dtype

_TYPE = re.compile(
    r"OpaqueType<(?P<size>\d{1,4})u?l?>|(?<![\w:])(?P<name>(?:c10::|at::)?(?:BFloat16|Half|Float8_\w+|"
    r"complex<(?:c10::Half|float|double)>)|(?:un)?signed char|double|float|long|int|short|char|bool)"
    r"(?=[ ,>)*])"
)
_LIST_KERNEL = re.compile(r"at::native::.*(?:CatArrayBatchedCopy\w*<|multi_tensor_apply_kernel<.*?Functor<)")
_TWO_TYPES = re.compile(r"CopyFunctor<([^,<>]+(?:<[^<>]*>)?), ([^,<>]+(?:<[^<>]*>)?),")
_ELEMENTWISE = re.compile(r"gpu_kernel_impl_nocast<.*lambda\((?=[a-z])")
_OPAQUE = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64", 16: "complex128"}
_SAMPLES = 16  # invocations of one call whose neighbors are asked
_NEIGHBORS = 8  # ops on either side
_REACH = 64  # rows looked through for them


class ItemType(msgspec.Struct, frozen=True):
    """What a kernel's name says of the items it moves; `dtype` None: only their size."""

    size: int
    dtype: str | None
    source: str | None = None  # of a copy between types: that of the items it reads


def item_type(kernel: str) -> ItemType | None:
    """Item type in the name of a kernel that works on a list of tensors; None where it names none.

    The first type of the functor or copy is the items'; those behind it are index and accumulator types.
    """
    match = _LIST_KERNEL.search(kernel) or _ELEMENTWISE.search(kernel)
    if match is None:
        return None
    pair = _TWO_TYPES.search(kernel)
    if pair and pair[1] != pair[2]:
        into, source = (canonical_dtype(text) for text in pair.groups())
        return ItemType(ITEMSIZE[into], into, source) if into and source else None
    type_match = _TYPE.search(kernel, match.end())
    if type_match is None:
        return None
    if type_match["size"]:
        return ItemType(int(type_match["size"]), None)
    dtype = canonical_dtype(type_match["name"])
    return ItemType(ITEMSIZE[dtype], dtype) if dtype else None


def list_dtypes(
    names: Sequence[str], ops: Ops, kernels: Kernels, calls: Sequence[OpCall]
) -> dict[int, tuple[str, str | None]]:
    """Row in `ops` -> dtype of the items of its tensor lists, for ops that have some and do work.

    The second is that of what a copy reads, where it is another.

    A kernel that names a type decides; then, for an op without a kernel that names one, the type that the
    kernels of all equal calls name; then the one type that ops around it have for tensors of the items'
    dims; and for a kernel that names only a size, an unsigned integer of that size.
    """
    lists = np.append(call_facts(calls).lists, False)
    if not lists.any():
        return {}
    said = _by_kernels(names, ops, kernels, lists)
    works = distinct(kernels.op[kernels.op >= 0])
    rows_of: dict[int, list[int]] = {}
    for row in works[lists[ops.call[works]]].tolist():
        rows_of.setdefault(int(ops.call[row]), []).append(row)
    dtypes: dict[int, tuple[str, str | None]] = {}
    for call, rows in rows_of.items():
        named = {item.dtype for row in rows if (item := said.get(row)) and item.dtype and not item.source}
        around: set[str] | None = None
        for row in rows:
            item = said.get(row)
            if item and item.dtype:
                dtypes[row] = item.dtype, item.source
            elif item or row not in said:  # a kernel that contradicts another proves nothing
                if around is None:
                    around = _around(ops, calls, calls[call], rows)
                dtype = _settled(item, named, around)
                if dtype:
                    dtypes[row] = dtype, None
    return dtypes


def _settled(item: ItemType | None, named: set[str], around: set[str]) -> str | None:
    if item is None:
        candidates = named or around
        return next(iter(candidates)) if len(candidates) == 1 else None
    fitting = {dtype for dtype in around if ITEMSIZE[dtype] == item.size}
    return next(iter(fitting)) if len(fitting) == 1 else _OPAQUE.get(item.size)


def _around(ops: Ops, calls: Sequence[OpCall], call: OpCall, rows: Sequence[int]) -> set[str]:
    """Dtypes that ops inside and beside some invocations of `call` have for tensors of its items' dims."""
    items = {item for shape in call.shapes if is_list(shape) for item in shape if item} | _result(call)
    dtypes: set[str] = set()
    for row in rows[:_SAMPLES]:
        for other in (*_inside(ops, row), *_beside(ops, row, 1), *_beside(ops, row, -1)):
            if ops.call[other] >= 0:
                near = calls[ops.call[other]]
                dtypes |= {d for s, d in zip(near.shapes, near.dtypes, strict=False) if d and s in items}
    return dtypes or _before(ops, calls, items, rows)


def _result(call: OpCall) -> set[Dims]:
    """Dims of what a concatenation makes; none where its dimension is not recorded."""
    items = [item for item in call.dims(0) or () if isinstance(item, tuple) and item]
    given = call.concrete[1].strip() if call.name == "aten::cat" and len(call.concrete) > 1 else ""
    if not items or not given.lstrip("-").isdigit() or not -len(items[0]) <= int(given) < len(items[0]):
        return set()
    at = int(given) % len(items[0])
    sizes = [item[at] for item in items if len(item) == len(items[0])]
    whole = sum(size for size in sizes if isinstance(size, int))
    return {(*items[0][:at], whole, *items[0][at + 1 :])} if len(sizes) == len(items) else set()


def _before(ops: Ops, calls: Sequence[OpCall], items: Collection[object], rows: Sequence[int]) -> set[str]:
    """Of ops that ran before on the same thread, whatever encloses them: a node of autograd that lays
    gradients side by side has no neighbors, and those that made them came just before."""
    dtypes: set[str] = set()
    for row in rows[:_SAMPLES]:
        for other in range(row - 1, max(row - 1 - _REACH, -1), -1):
            if ops.thread[other] == ops.thread[row] and ops.call[other] >= 0:
                near = calls[ops.call[other]]
                dtypes |= {d for s, d in zip(near.shapes, near.dtypes, strict=False) if d and s in items}
    return dtypes


def _inside(ops: Ops, row: int) -> Iterator[int]:
    for other in range(row + 1, min(row + 1 + _REACH, len(ops))):
        if ops.thread[other] != ops.thread[row] or ops.start_ns[other] >= ops.end_ns[row]:
            return
        yield other


def _beside(ops: Ops, row: int, step: int) -> Iterator[int]:
    """Up to 8 ops with the same encloser, before (step -1) or behind."""
    left = _NEIGHBORS
    stop = min(max(row + step * _REACH, -1), len(ops))
    for other in range(row + step, stop, step):
        if ops.thread[other] != ops.thread[row] or not left:
            return
        if ops.parent[other] == ops.parent[row]:
            left -= 1
            yield other


def _by_kernels(names: Sequence[str], ops: Ops, kernels: Kernels, lists: Bools) -> dict[int, ItemType | None]:
    """What the kernels of each op say together; None where they disagree or one names none."""
    rows = np.flatnonzero((kernels.kind == RecordKind.KERNEL) & (kernels.op >= 0))
    rows = rows[lists[ops.call[kernels.op[rows]]]]
    said: dict[int, ItemType | None] = {}
    parsed: dict[int, ItemType | None] = {}
    for op, name in zip(kernels.op[rows].tolist(), kernels.name[rows].tolist(), strict=True):
        if name not in parsed:
            parsed[name] = item_type(names[name])
        item = parsed[name]
        said[op] = item if said.get(op, item) == item else None
    return said
