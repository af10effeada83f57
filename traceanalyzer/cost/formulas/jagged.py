"""What values decide between two ends: positions found, rows of embedding tables, bags of unequal length."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, between, op_cost
from traceanalyzer.cost.tensors import (
    bytes_of,
    bytes_read,
    count,
    has,
    itemsize,
    numel,
    quotient,
    ranked,
    shape,
    tensors,
)
from traceanalyzer.records import Cost, OpCall

_FBGEMM = "pytorch/FBGEMM: fbgemm_gpu/codegen, embedding_forward_split_host.cpp; src/sparse_ops"
_NO_POOLING = 2  # PoolingMode.NONE
_SUM_SIZES = {"0": 4, "1": 2, "5": 2}  # bytes an element, by SparseType: FP32, FP16, BF16
# Where output_dtype stands: behind the optimizer's arguments, of which stochastic gradient descent has one in
# every version. Others gained some, so there its place is not known.
_OUTPUT_TYPE = dict.fromkeys(
    (f"fbgemm::split_embedding_codegen_lookup_{name}_function" for name in ("sgd", "approx_sgd")), 21
)


@op_cost("aten::nonzero", source="torch.nonzero: sizes of the result")
def nonzero(call: OpCall) -> Cost:
    """Positions of the elements that are not zero

    FLOPs = 1 an input element
    Bytes = input read, an int64 a position and dimension written: for none at least, for each at most
    Assumes one pass; how many there are is known only where the trace shows the size of the result.
    """
    dims, read = shape(call, 0), bytes_read(call, 0)
    if call.output is None:
        most = Cost(numel(dims), read, 8 * numel(dims) * len(dims))
        return between(Cost(numel(dims), read, 0), most, "how many elements are not zero is data")
    note = f"how many there are is proved by {call.output_from}"
    return Cost(numel(dims), read, 8 * numel(call.output), note=note)


@op_cost("fbgemm::split_embedding_codegen_lookup_*_function*", source=_FBGEMM)
def lookup(call: OpCall) -> Cost:
    """Sums of rows of many tables, a bag of them a table and sample: (.., tables, .., widths, indices, bags)

    FLOPs = 1 an element added, 2 where it is weighted: an index adds one at least, as many as the widest
    table has at most
    Bytes = indices, bags and weights of indices read, the sums written; of the tables nothing but one element
    at least, a row an index, and no more than there are, at most
    Assumes sums in 2 bytes at least and 4 at most where their type is not recorded; rows in the cache of a
    table on the host count as that table's.
    """
    if call.value(13) is None:
        raise Missing("data_dependent", "which rows are touched is data; their widths are not recorded")
    if count(call, 13) == _NO_POOLING:
        raise Missing("data_dependent", "rows that are not added up are as many as the indices of each table")
    total, widest = count(call, 7), count(call, 8)
    tables = max(shape(call, 6)[0] - 1, 1)
    samples = quotient(max(shape(call, 12)[0] - 1, 0), tables)
    indices = numel(shape(call, 11))
    fixed = sum(bytes_read(call, i) for i in (6, 11, 12, 14) if has(call, i))
    held = sum(bytes_of(call, i) for i in (1, 2) if has(call, i))
    size, flops = itemsize(call, 1), 2 * indices if has(call, 14) else indices
    some = min(indices, 1) * size
    narrow, wide = (samples * total * each for each in _sum_sizes(call))
    return between(
        Cost(flops, fixed + some, narrow),
        Cost(flops * widest, fixed + max(min(held, indices * widest * size), some), wide),
        "which rows are touched is data",
    )


def _sum_sizes(call: OpCall) -> tuple[int, int]:
    """Bytes of an element that a bag is summed up to: least and most."""
    at = _OUTPUT_TYPE.get(call.name)
    size = _SUM_SIZES.get((call.value(at) or "").strip()) if at is not None else None
    return (size, size) if size else (2, 4)


@op_cost(
    "fbgemm::permute_sparse_features", "fbgemm::permute_2D_sparse_data", "fbgemm::permute_1D_sparse_data",
    source=_FBGEMM,
)  # fmt: skip
def permuted_bags(call: OpCall) -> Cost:
    """Bags of indices, feature by feature, in another order: (order, lengths, indices, weights)

    FLOPs = 0
    Bytes = order, lengths, indices and weights read, lengths, indices and weights written
    Assumes that each feature comes out once where as many do as go in; else how long they are is data.
    """
    order, lengths = ranked(call, 0, 1), shape(call, 1)
    if order[0] != lengths[0]:
        raise Missing("data_dependent", "which features come out, and how long their bags are, is data")
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(0, read, sum(bytes_of(call, i) for i in tensors(call) if i > 0))
