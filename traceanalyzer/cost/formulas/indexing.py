"""Embedding, gathering, scattering: the elements touched, the indices, and nothing of the rest."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    Sizes,
    broadcast,
    bytes_of,
    bytes_read,
    count,
    flag,
    has,
    integer,
    is_true,
    itemsize,
    numel,
    recorded,
    shape,
    shapes_in,
    tensors,
)
from traceanalyzer.records import Cost, OpCall, Shape

_SOURCE = "definition of the operator (nn.functional.embedding, torch.gather, torch.Tensor.scatter_add_)"


@op_cost("aten::embedding", source=_SOURCE, fusible="gather")
def embedding(call: OpCall) -> Cost:
    """out[i, :] = table[index[i], :]

    FLOPs = 0
    Bytes = a row of the table read for each index, but no more than the table; the indices; out written
    Assumes no row is asked for twice while there are others.
    """
    rows = numel(shape(call, 1)) * shape(call, 0)[-1] * itemsize(call, 0)
    return Cost(0, min(rows, bytes_of(call, 0)) + bytes_read(call, 1), rows)


@op_cost("aten::embedding_dense_backward", source=_SOURCE, fusible="scatter")
def embedding_backward(call: OpCall) -> Cost:
    """Zeros of the table's size with gradients added at the indices

    FLOPs = 1 a gradient element
    Bytes = gradient and indices read, the whole table written, touched rows read
    Assumes the size of the table, an argument, is recorded; else only the gradient's rows count.
    """
    recorded(call, 0, 1)
    grad = shape(call, 0)
    each = itemsize(call, 0)
    table = count(call, 2) * grad[-1] * each if call.concrete else 0
    touched = min(numel(grad) * each, table) if call.concrete else numel(grad) * each
    note = "" if call.concrete else "size of the table not recorded: its zeros are left out"
    return Cost(numel(grad), bytes_read(call, 0) + bytes_read(call, 1) + touched, table + touched, note=note)


@op_cost("aten::_embedding_bag", "aten::_embedding_bag_forward_only", source=_SOURCE)
def embedding_bag(call: OpCall) -> Cost:
    """Rows of a table summed by bag

    FLOPs = 1 an element of every row read
    Bytes = rows, but no more than the table, indices and offsets read; a row a bag written
    Assumes no row is asked for twice while there are others; one bag an offset, one fewer where the last
    offset is the end. What it keeps for the gradient is left out: it differs from device to device.
    """
    dim, rows, bags = shape(call, 0)[-1], numel(shape(call, 1)), numel(shape(call, 2))
    bags -= len(call.concrete) > 7 and flag(call, 7)
    table = min(rows * dim * itemsize(call, 0), bytes_of(call, 0))
    read = table + bytes_read(call, 1) + bytes_read(call, 2) + bytes_read(call, 6)
    return Cost(rows * dim, read, numel((bags, dim)) * itemsize(call, 0))


@op_cost(
    "aten::index_select",
    "aten::gather",
    "aten::take",
    "aten::take_along_dim",
    source=_SOURCE,
    fusible="gather",
)
def gather(call: OpCall) -> Cost:
    """Chosen elements, or chosen slices, of a tensor

    FLOPs = 0
    Bytes = as many elements read as are written, but no more than there are; the indices
    Assumes an index is not used twice while there are others; whole sectors are moved: a floor.
    """
    index = 1 if call.name in ("aten::take", "aten::take_along_dim") else 2
    dims, chosen = shape(call, 0), shape(call, index)
    size = numel(chosen)
    if call.name == "aten::index_select":
        if not call.concrete and len(dims) > 1:
            raise Missing("no_concrete_inputs", "the dimension to select in is not recorded")
        size *= numel(dims) // max(dims[integer(call, 1) if len(dims) > 1 else 0], 1)
    moved = size * itemsize(call, 0)
    return Cost(0, min(moved, bytes_of(call, 0)) + bytes_read(call, index), moved)


_PROVED = "the index tensors are not recorded; how much is touched is proved by {}"


def _touched(dims: Sizes, indices: list[Shape]) -> int:
    """Elements that index tensors for the leading dimensions name."""
    if len(indices) > len(dims):
        raise Missing("no_shapes", "more index tensors are recorded than dimensions")
    return numel(broadcast(*indices)) * numel(dims[len(indices) :])


@op_cost("aten::index", "aten::_index", "aten::_unsafe_index", source=_SOURCE, fusible="gather")
def advanced_index(call: OpCall) -> Cost:
    """x[i, j, ...] with index tensors for the leading dimensions

    FLOPs = 0
    Bytes = as many elements read as are written, but no more than there are; the int64 indices
    Assumes the indices stand for the leading dimensions, unless the trace shows what is touched; else masks
    have a size that is data.
    """
    dims, indices = shape(call, 0), [s for s in shapes_in(call, 1) if s]
    if call.output is not None:
        moved = numel(call.output) * itemsize(call, 0)
        read = min(moved, bytes_of(call, 0)) + 8 * sum(map(numel, call.indices))
        return Cost(0, read, moved, note=_PROVED.format(call.output_from))
    if not indices:
        raise Missing("data_dependent", "the profiler does not record lists of optional index tensors")
    as_large = any(numel(s) == numel(dims) and len(s) == len(dims) > 1 for s in indices)
    if call.list_dtype in ("bool", "uint8") or as_large:
        raise Missing("data_dependent", "a mask chooses as many elements as are true")
    size = _touched(dims, indices)
    moved = size * itemsize(call, 0)
    return Cost(0, min(moved, bytes_of(call, 0)) + 8 * sum(map(numel, indices)), moved)


@op_cost(
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::index_put",
    "aten::_unsafe_index_put",
    source=_SOURCE,
    fusible="scatter",
)
def index_put(call: OpCall) -> Cost:
    """x[i, j, ...] = v, or += v

    FLOPs = 1 an element of v where it accumulates
    Bytes = v and the int64 indices read, the touched elements written, and read where it accumulates
    Assumes the untouched part of x costs nothing (copied by the out-of-place variant).
    """
    dims, indices = shape(call, 0), [s for s in shapes_in(call, 1) if s]
    accumulates = len(call.concrete) > 3 and is_true(call.concrete[3])
    note = ""
    if call.output is not None:
        indices, note = list(call.indices), _PROVED.format(call.output_from)
        size = numel(call.output)
    elif call.list_dtype in ("bool", "uint8"):
        raise Missing("data_dependent", "a mask chooses as many elements as are true")
    elif indices:
        size = _touched(dims, indices)
    elif has(call, 2) and numel(shape(call, 2)) > 1:
        size, note = numel(shape(call, 2)), "index tensors not recorded: as many elements as there are values"
    else:
        raise Missing("data_dependent", "the profiler does not record lists of optional index tensors")
    touched = min(size * itemsize(call, 0), bytes_of(call, 0))
    read = (bytes_read(call, 2) if has(call, 2) else 0) + 8 * sum(map(numel, indices))
    return Cost(size * accumulates, read + touched * accumulates, touched, note=note)


# The tensors that each always has, where it does not take a source as the third after `dim`.
_SCATTERED = {
    "aten::scatter": (0, 2), "aten::scatter_": (0, 2), "aten::index_fill_": (0, 2), "aten::put_": (0, 1, 2),
}  # fmt: skip


@op_cost(
    "aten::scatter_add_",
    "aten::scatter_add",
    "aten::scatter_",
    "aten::scatter",
    "aten::index_add_",
    "aten::index_add",
    "aten::index_copy_",
    "aten::index_copy",
    source=_SOURCE,
    fusible="scatter",
)
@op_cost(
    "aten::scatter_reduce_",
    "aten::scatter_reduce",
    "aten::index_fill_",
    "aten::index_reduce_",
    "aten::index_reduce",
    "aten::put_",
    source=_SOURCE,
)
def scatter(call: OpCall) -> Cost:
    """x[index] = v, or += v

    FLOPs = 1 a source element where it adds
    Bytes = source and indices read, touched elements written, and read where it adds
    Assumes no element is touched twice while there are others; atomics move whole sectors: a floor. Out of
    place, x is copied by an op that this one calls (torch/aten/src/ATen/native/TensorAdvancedIndexing.cpp).
    """
    recorded(call, *_SCATTERED.get(call.name, (0, 2, 3)))
    # scatter(..., reduce) has a fifth argument, whose text profilers leave out; `out` has dims.
    reduces = call.name in ("aten::scatter", "aten::scatter_") and len(call.concrete) > 4 and not has(call, 4)
    adds = "add" in call.name or "reduce" in call.name or reduces
    index, source = (1, 2) if call.name == "aten::put_" else (2, 3)
    if "index_" in call.name and has(call, source):
        size = numel(shape(call, source))
    elif "index_" in call.name:
        dims = shape(call, 0)
        size = numel(shape(call, index)) * (numel(dims) // max(dims[integer(call, 1)], 1))
    else:
        size = numel(shape(call, index))
    touched = min(size * itemsize(call, 0), bytes_of(call, 0))
    values = size * itemsize(call, source) if has(call, source) else 0
    return Cost(size * adds, values + bytes_read(call, index) + touched * adds, touched)


@op_cost("aten::masked_scatter_", "aten::masked_scatter", "aten::masked_scatter_backward", source=_SOURCE)
def masked_scatter(call: OpCall) -> Cost:
    """x[mask] = v, and its gradient

    FLOPs = not known
    Bytes = not known
    Assumes nothing.
    """
    raise Missing("data_dependent", "a mask chooses as many elements as are true")


@op_cost("aten::_embedding_bag_dense_backward", source=_SOURCE)
def embedding_bag_backward(call: OpCall) -> Cost:
    """Zeros of the table's size with the gradient of each bag added to its rows

    FLOPs = 1 an element of every row
    Bytes = gradient, indices, their bags and sizes read; the whole table written, touched rows read
    Assumes no row is asked for twice while there are others.
    """
    recorded(call, 0, 1, 2, 3)
    dim, each = shape(call, 0)[-1], itemsize(call, 0)
    size = numel(shape(call, 1)) * dim
    table = count(call, 5) * dim * each
    touched = min(size * each, table)
    read = sum(bytes_read(call, i) for i in (0, 1, 2, 3, 8))
    return Cost(size, read + touched, table + touched)


_GRADIENTS = {  # the tensors of each: the gradient, the input where only its size counts, the index
    "aten::gather_backward": (0, 1, 3),
    "aten::index_select_backward": (0, 3),
    "aten::value_selecting_reduction_backward": (0, 2),
}


@op_cost(
    "aten::gather_backward",
    "aten::index_backward",
    "aten::index_select_backward",
    "aten::one_hot",
    "aten::value_selecting_reduction_backward",
    source=_SOURCE,
    role="composite",
)
def index_backward(call: OpCall) -> Cost:
    """Gradients put back at their indices, where one kernel does it

    FLOPs = 1 a gradient element
    Bytes = inputs read, as much written
    Assumes the zeros are written by another op.
    """
    recorded(call, *_GRADIENTS.get(call.name, (0,)))
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(numel(shape(call, 0)), read, bytes_of(call, 0))


@op_cost("aten::searchsorted", "aten::bucketize", source=_SOURCE)
def search(call: OpCall) -> Cost:
    """Place of each value among sorted borders

    FLOPs = 0
    Bytes = values and borders read, places written: int64, or int32 where asked for
    Assumes borders are read once.
    """
    recorded(call, 1 if call.name == "aten::bucketize" else 0)
    values = 1 if call.name == "aten::searchsorted" else 0
    sorter = bytes_read(call, 5) if call.name == "aten::searchsorted" and len(call.shapes) <= 6 else 0
    read = bytes_read(call, 0) + bytes_read(call, 1) + sorter
    narrow = len(call.concrete) > 2 and is_true(call.concrete[2])
    return Cost(0, read, (4 if narrow else 8) * numel(shape(call, values)))


@op_cost("aten::isin", source=_SOURCE)
def isin(call: OpCall) -> Cost:
    """Whether each element is among others

    FLOPs = 1 an element
    Bytes = both read, booleans written
    Assumes the test elements are read once.
    """
    size = numel(shape(call, 0))
    return Cost(size, sum(bytes_read(call, i) for i in tensors(call)), size)
