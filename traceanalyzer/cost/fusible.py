"""How large an operator's loop is, and how many elements it reduces to one: what decides which ops fuse.

As PyTorch's compiler does it (torch/_inductor/scheduler.py): whatever maps elements to elements joins
whatever precedes or follows it, and reductions join where they reduce the same number of elements to a row.
"""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing
from traceanalyzer.cost.tensors import has, integer, itemsize, numel, shape, sizes, tensors
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.priced import PricedCall
from traceanalyzer.records.units import ITEMSIZE

_TWO_RESULTS = ("aten::native_dropout", "aten::_fused_dropout")  # a tensor like the first input, and a mask
_CREATED = ("aten::zeros", "aten::ones", "aten::full", "aten::rand", "aten::randn")  # by sizes alone
# By whole names, for an operator of a library may have a like name and other arguments. The places of
# arguments are those of aten/src/ATen/native/native_functions.yaml.
DIM = {
    "aten::_softmax": 1, "aten::_log_softmax": 1, "aten::_safe_softmax": 1, "aten::_masked_softmax": 2,
    "aten::_softmax_backward_data": 2, "aten::_log_softmax_backward_data": 2,
    "aten::_masked_softmax_backward": 3,
}  # fmt: skip
NORMALIZED_SHAPE = {
    "aten::native_layer_norm": 1, "aten::native_layer_norm_backward": 2,
    "aten::_fused_rms_norm": 1, "aten::_fused_rms_norm_backward": 2,
}  # fmt: skip
SOURCE = 0  # of whatever gathers: the argument that it reads through an index
# Of what scatters: the argument whose elements are stored through an index.
VALUES = {
    "aten::index_put": 2, "aten::index_put_": 2, "aten::_index_put_impl_": 2, "aten::_unsafe_index_put": 2,
    "aten::index_add": 3, "aten::index_add_": 3, "aten::index_copy": 3, "aten::index_copy_": 3,
    "aten::scatter": 3, "aten::scatter_": 3, "aten::scatter_add": 3, "aten::scatter_add_": 3,
    "aten::embedding_dense_backward": 0,
}  # fmt: skip
BATCH_NORMS = frozenset({
    "aten::native_batch_norm", "aten::cudnn_batch_norm",
    "aten::miopen_batch_norm", "aten::_native_batch_norm_legit",
    "aten::_native_batch_norm_legit_functional", "aten::_native_batch_norm_legit_no_training",
    "aten::_batch_norm_with_update", "aten::_batch_norm_no_update",
    "aten::native_batch_norm_backward", "aten::cudnn_batch_norm_backward",
    "aten::miopen_batch_norm_backward", "aten::batch_norm_backward",
})  # fmt: skip
GROUP_NORMS = frozenset({"aten::native_group_norm", "aten::native_group_norm_backward"})


def elements(priced: PricedCall) -> int:
    """Of the largest tensor that is read or written, 0 where that is not known.

    A reduction writes no larger one than it reads. What is gathered has the size of its result, what is
    scattered that of its values: the loop runs over these.
    """
    cost = priced.known
    if cost is None:
        return 0
    try:
        return _elements(priced, cost)
    except Missing:
        return 0


def _elements(priced: PricedCall, cost: Cost) -> int:
    call = priced.call
    if priced.fusible == "gather":
        return cost.write_bytes // itemsize(call, 0)
    if priced.fusible == "scatter":
        values = VALUES.get(call.name)
        return numel(shape(call, values)) if values is not None and has(call, values) else 0
    if call.name in _CREATED:
        return numel(sizes(call, 0))
    if priced.fusible == "pieces" and call.list_dtype:
        return cost.write_bytes // ITEMSIZE[call.list_dtype]
    read = [numel(shape(call, i)) for i in tensors(call)]
    sizes_of_one = [ITEMSIZE[name] for name in call.dtypes if name]
    written = 0
    if sizes_of_one and priced.fusible in ("element", "pieces") and call.name not in _TWO_RESULTS:
        written = cost.write_bytes // max(sizes_of_one)
    return max([*read, written], default=0)


def reduced(priced: PricedCall) -> int | None:
    """Elements that become one, where it is a reduction; None where it is none, or that is not known."""
    if priced.fusible != "reduction" or priced.known is None:
        return None
    try:
        return _reduced(priced.call, priced.known)
    except Missing:
        return None


def _reduced(call: OpCall, cost: Cost) -> int:
    """By the arguments of ATen's own operators; of another by what it reads and writes.

    Of one that writes as much as it reads that is 1, which no rows of another reduction fit.
    """
    dims = shape(call, 0)
    if call.name in DIM:
        return dims[integer(call, DIM[call.name])]
    if call.name in NORMALIZED_SHAPE:
        return numel(sizes(call, NORMALIZED_SHAPE[call.name]))
    if call.name in BATCH_NORMS:
        return numel(dims) // max(dims[1], 1)
    if call.name in GROUP_NORMS:
        return numel(dims[1:])  # of one sample; its groups are parts of it
    return numel(dims) // max(cost.write_bytes // itemsize(call, 0), 1)
