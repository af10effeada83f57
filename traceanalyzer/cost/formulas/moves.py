"""Ops that move or make elements: copies, casts, concatenation, padding, filling; and ops that do nothing."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    Sizes,
    agree,
    bytes_of,
    bytes_read,
    dtype,
    has,
    integer,
    integers,
    is_list,
    itemsize,
    list_bytes,
    list_bytes_read,
    listed,
    numel,
    quotient,
    recorded,
    shape,
    sizes,
)
from traceanalyzer.cost.views import VIEWS
from traceanalyzer.records import Cost, FurtherPass, OpCall
from traceanalyzer.records.units import ITEMSIZE, SCALAR_TYPES

_SOURCE = "definition of the operator (torch.Tensor, torch.cat, torch.nn.functional.pad)"

_COPIED_VIEWS = """
view t transpose permute squeeze unsqueeze alias detach _reshape_alias _conj _neg_view
"""
_NOTHING = "views and allocations launch nothing"


@op_cost(*(f"aten::{name}" for name in sorted(VIEWS)), source=_NOTHING, role="free")
def free(call: OpCall) -> Cost:
    """A view, an allocation or a question about metadata

    FLOPs = 0
    Bytes = 0
    Assumes no kernel runs.
    """
    return Cost(0, 0, 0)


@op_cost(
    "aten::copy_",
    "aten::_copy_from",
    "aten::_copy_from_and_resize",
    source=_SOURCE,
    role="auxiliary",
    fusible="element",
)
def copy(call: OpCall) -> Cost:
    """dst[i] = src[i], cast where their types differ

    FLOPs = 0
    Bytes = src read (expanded dimensions once), dst written and not read
    Assumes both are on the device; strided access moves whole sectors: a floor.
    """
    destination, source = (0, 1) if call.name == "aten::copy_" else (1, 0)
    for i in (destination, source):
        dtype(call, i)  # a nested tensor leaves no type: how much is copied is not known
    return Cost(0, bytes_read(call, source), bytes_of(call, destination))


@op_cost(
    "aten::contiguous",
    "aten::to",
    "aten::type_as",
    "aten::float",
    "aten::half",
    "aten::bfloat16",
    "aten::pin_memory",
    "aten::cuda",
    "aten::cpu",
    "aten::tile",
    "aten::concat",
    "aten::hstack",
    "aten::vstack",
    "aten::dstack",
    "aten::pad",
    "aten::_pad_circular",
    source=_NOTHING,
    role="free",
    fusible="element",
)
def passed_on(call: OpCall) -> Cost:
    """The tensor itself where nothing is to be done; else an op that it calls does it: clone, _to_copy, cat

    FLOPs = 0
    Bytes = 0
    Assumes what it calls is priced by itself.
    """
    return Cost(0, 0, 0)


@op_cost(
    "aten::clone",
    "aten::_to_copy",
    "aten::flip",
    "aten::roll",
    "aten::repeat",
    "aten::rot90",
    "aten::pixel_shuffle",
    "aten::pixel_unshuffle",
    "aten::channel_shuffle",
    *(f"aten::{view}_copy" for view in _COPIED_VIEWS.split()),
    "aten::repeat_interleave",
    "aten::_pin_memory",
    source=_SOURCE,
    role="auxiliary",
    fusible="element",
)
def duplicate(call: OpCall) -> Cost:
    """A new tensor with the same elements, or repeated ones

    FLOPs = 0
    Bytes = input read; the result, of the type asked for, written
    Assumes the input's type where the argument is not recorded.
    """
    size, precision = numel(shape(call, 0)), dtype(call, 0)
    if call.name == "aten::repeat":
        factors = sizes(call, 1)
        dims = (1,) * (len(factors) - len(shape(call, 0))) + shape(call, 0)
        agree(call, len(factors), len(dims))
        size = numel(tuple(d * f for d, f in zip(dims, factors, strict=True)))
    if call.name == "aten::repeat_interleave":
        raise Missing("data_dependent", "the repeats are data")
    if call.name == "aten::_to_copy" and len(call.concrete) > 1:
        precision = SCALAR_TYPES.get(call.concrete[1].strip(), precision)
    return Cost(0, bytes_read(call, 0), size * ITEMSIZE[precision])


@op_cost(
    "aten::cat",
    "aten::_cat",
    "aten::stack",
    "aten::block_diag",
    source=_SOURCE,
    role="auxiliary",
    fusible="pieces",
)
def concatenate(call: OpCall) -> Cost:
    """All tensors of a list one after another

    FLOPs = 0
    Bytes = every input read (expanded dimensions once), all of them written; block_diag: zeros too
    Assumes the items have one type, which a trace does not record: from kernel names or neighbors.
    """
    items, read = listed(call, 0), list_bytes_read(call, 0)
    if call.name == "aten::block_diag":
        blocks = [((1, 1) + dims)[-2:] for dims in items]
        size = sum(rows for rows, _ in blocks) * sum(columns for _, columns in blocks)
        return Cost(0, read, size * itemsize(call, 0))
    return Cost(0, read, list_bytes(call, 0))


@op_cost(
    "aten::constant_pad_nd",
    "aten::reflection_pad1d",
    "aten::reflection_pad2d",
    "aten::reflection_pad3d",
    "aten::replication_pad1d",
    "aten::replication_pad2d",
    "aten::replication_pad3d",
    source=_SOURCE,
    role="auxiliary",
    fusible="pieces",
)
def pad(call: OpCall) -> Cost:
    """The input with borders

    FLOPs = 0
    Bytes = input read, the larger output written
    Traffic = the input's size written once more by constant padding, which fills the whole output and then
    copies the input into it (PadNd.cpp; V100 counters: 1.6 times the bytes)
    Assumes padding given from the last dimension backwards, as pairs.
    """
    dims, widths = list(shape(call, 0)), integers(call, 1)
    if len(widths) > 2 * len(dims):
        raise Missing("no_shapes", f"{call.name} pads more dimensions than are recorded")
    for pair in range(len(widths) // 2):
        dims[-1 - pair] += widths[2 * pair] + widths[2 * pair + 1]
    written = numel(tuple(dims)) * itemsize(call, 0)
    twice = FurtherPass("FillFunctor", bytes_of(call, 0), written, why="all is filled, then the input copied")
    return Cost(0, bytes_read(call, 0), written, further=(twice,))


# Place of the `dtype` argument: native_functions.yaml.
_FILL_TYPES = {
    "aten::zeros_like": 1, "aten::ones_like": 1, "aten::rand_like": 1, "aten::randn_like": 1,
    "aten::full_like": 2, "aten::new_zeros": 2, "aten::new_ones": 2, "aten::new_full": 3,
}  # fmt: skip


@op_cost(
    "aten::fill_",
    "aten::zero_",
    "aten::normal_",
    "aten::uniform_",
    "aten::random_",
    "aten::bernoulli_",
    "aten::exponential_",
    "aten::geometric_",
    "aten::log_normal_",
    "aten::cauchy_",
    "aten::zeros_like",
    "aten::ones_like",
    "aten::full_like",
    "aten::rand_like",
    "aten::randn_like",
    "aten::randint_like",
    "aten::new_zeros",
    "aten::new_ones",
    "aten::new_full",
    "aten::eye_",
    source=_SOURCE,
    role="auxiliary",
    fusible="element",
)
def fill(call: OpCall) -> Cost:
    """Every element set, to a constant or at random

    FLOPs = 0
    Bytes = the tensor written, not read
    Assumes the result is as large as the first input, and of its type, unless others are given.
    """
    dtype_index = len(call.concrete) - 5 if call.name == "aten::randint_like" else _FILL_TYPES.get(call.name)
    asked = (
        SCALAR_TYPES.get(call.concrete[dtype_index].strip())
        if dtype_index and 0 < dtype_index < len(call.concrete)
        else None
    )
    each = ITEMSIZE[asked] if asked else itemsize(call, 0)
    if call.name.startswith("aten::new_"):
        return Cost(0, 0, numel(sizes(call, 1)) * each)
    return Cost(0, 0, numel(shape(call, 0)) * each)


@op_cost(
    "aten::zeros",
    "aten::ones",
    "aten::full",
    "aten::rand",
    "aten::randn",
    "aten::eye",
    "aten::scalar_tensor",
    "aten::tril_indices",
    "aten::triu_indices",
    "aten::linspace",
    "aten::logspace",
    "aten::randperm",
    "aten::arange",
    "aten::range",
    "aten::randint",
    "aten::normal",
    source=_SOURCE,
    role="auxiliary",
    fusible="element",
)
def create(call: OpCall) -> Cost:
    """A new tensor filled by rule

    FLOPs = 0
    Bytes = the tensor written
    Assumes fp32 where no type is recorded; sizes only from the arguments.
    """
    recorded_dtype = next((d for i, d in enumerate(call.dtypes) if d and has(call, i)), None)
    if call.name == "aten::arange" and len(call.shapes) and has(call, len(call.shapes) - 1):
        return Cost(0, 0, bytes_of(call, len(call.shapes) - 1))  # the out= variant
    if call.name not in ("aten::zeros", "aten::ones", "aten::full", "aten::rand", "aten::randn"):
        raise Missing("no_concrete_inputs", "the size of the result is not among the recorded dims")
    dtype_index = 2 if call.name == "aten::full" else 1
    typed = call.concrete[dtype_index].strip() if len(call.concrete) > dtype_index else ""
    size = numel(sizes(call, 0))
    return Cost(0, 0, size * ITEMSIZE[recorded_dtype or SCALAR_TYPES.get(typed, "fp32")])


@op_cost("aten::tril", "aten::triu", "aten::tril_", "aten::triu_", source=_SOURCE, fusible="element")
def triangle(call: OpCall) -> Cost:
    """One triangle kept, the other zero

    FLOPs = 0
    Bytes = input read, output written
    Assumes the whole input is read.
    """
    recorded(call, 0)
    return Cost(0, bytes_read(call, 0), bytes_of(call, 0))


@op_cost("aten::_chunk_cat", source=_SOURCE, role="auxiliary")
def chunk_cat(call: OpCall) -> Cost:
    """Every tensor of a list cut into chunks along a dimension, the chunks laid side by side

    FLOPs = 0
    Bytes = every tensor read, and written with zeros to chunks of equal length
    Assumes the items have one type, which a trace does not record: from kernel names or neighbors.
    """
    along, chunks, items = integer(call, 1), integer(call, 2), [Sizes(dims) for dims in listed(call, 0)]
    padded = (numel(d) // max(d[along], 1) * quotient(d[along], chunks) * chunks for d in items)
    return Cost(0, list_bytes_read(call, 0), sum(padded) * itemsize(call, 0))


@op_cost(
    "aten::split_with_sizes_copy",
    "aten::slice_backward",
    "aten::select_backward",
    "aten::unfold_backward",
    "aten::slice_scatter",
    "aten::select_scatter",
    "aten::diagonal_backward",
    "aten::as_strided_scatter",
    "aten::diagonal_scatter",
    "aten::as_strided_copy",
    source=_SOURCE,
    role="auxiliary",
)
def scatter_view(call: OpCall) -> Cost:
    """A view written into a larger tensor of zeros, or a tensor cut into copies

    FLOPs = 0
    Bytes = inputs read, the result written
    Assumes the sizes of the larger tensor where they are recorded.
    """
    recorded(call, *range(2 if call.name.endswith("_scatter") else 1))
    if is_list(call, 0):
        moved = list_bytes(call, 0)
        return Cost(0, moved, moved)
    read = bytes_read(call, 0)
    if call.name.endswith("_backward"):
        return Cost(0, read, numel(sizes(call, 1)) * itemsize(call, 0))
    if call.name == "aten::split_with_sizes_copy":
        return Cost(0, read, bytes_of(call, 0))
    if call.name == "aten::as_strided_copy":
        written = numel(sizes(call, 1)) * itemsize(call, 0)
        return Cost(0, min(read, written), written)
    return Cost(0, read + bytes_read(call, 1), bytes_of(call, 0))


@op_cost(
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::is_nonzero",
    "aten::equal",
    source=_SOURCE,
    role="auxiliary",
)
def to_host(call: OpCall) -> Cost:
    """Elements brought to the host

    FLOPs = 0
    Bytes = inputs read
    Assumes one element where the tensor has no dimension.
    """
    recorded(call, *range(2 if call.name == "aten::equal" else 1))
    return Cost(0, sum(bytes_read(call, i) for i in range(len(call.shapes)) if has(call, i)), 0)


@op_cost("aten::_foreach_copy_", source=_SOURCE, role="auxiliary")
def copy_lists(call: OpCall) -> Cost:
    """dst[k][i] = src[k][i] for every tensor of a list

    FLOPs = 0
    Bytes = sources read, destinations written
    Assumes one type for both lists, unless the kernel's name tells two.
    """
    count = sum(map(numel, listed(call, 0)))
    into = ITEMSIZE[dtype(call, 0)]
    source = ITEMSIZE[call.list_source] if call.list_source else into
    return Cost(0, count * source, count * into)
