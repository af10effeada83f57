"""Operators of other packages whose work the trace cannot tell, each with the reason."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.records import Cost, OpCall

# What decides the work of these is data (indices, lengths, routing) or not among the recorded dims.
DATA_DEPENDENT = {
    "fbgemm::split_embedding_*": "rows touched are index data; the tables are not among the dims",
    "torch::autograd::CppNode<*Lookup*": "rows touched are index data; the tables are not among the dims",
    "fbgemm::*lookup*": "rows touched are index data",
    "fbgemm::*jagged*": "lengths are data",
    "vllm::fused_moe*": "routing is data; the weights are not among the dims",
    "vllm::moe_forward*": "routing is data; the weights are not among the dims",
    "_moe_C::moe_align_block_size": "how many tokens each expert has is data",
    "_moe_C::*gemm*": "routing is data",
    "aiter::*moe*": "routing is data",
    "sgl_kernel::moe_align_block_size": "how many tokens each expert has is data",
    "sgl_kernel::*group*mm*": "how many tokens each expert has is data",
    "trtllm::*moe*": "routing is data",
    "trtllm::*attention*": "lengths are data",
    "_C_cache_ops::*": "which blocks of the cache are touched is data",
}

# aten's own operators whose work is decided by values, or by inputs that no profiler records.
DATA_DEPENDENT_OPERATORS = {
    "aten::index": "profilers leave out index tensors; where nothing else shows it, the size is data",
    "aten::_unsafe_index": "as aten::index",
    "aten::index_put_": "as aten::index, where the values do not tell how many elements are written",
    "aten::_index_put_impl_": "as aten::index_put_",
    "aten::nonzero": "as many results as elements are true",
    "aten::masked_select": "as many results as elements are true",
    "aten::repeat_interleave": "repeats are values",
    "aten::bincount": "the largest value decides",
    "aten::unique_dim": "distinct values",
    "aten::_unique2": "distinct values",
    "aten::unique_consecutive": "distinct values",
    "aten::nonzero_static": "as many results as elements are true, up to a size",
    "aten::masked_scatter": "as many elements as the mask has true ones",
    "aten::masked_scatter_backward": "as many elements as the mask has true ones",
    "aten::index_put": "as aten::index_put_",
    "aten::_unsafe_index_put": "as aten::index_put_",
    "aten::_unique": "distinct values",
    "aten::masked_scatter_": "as many elements as the mask has true ones",
    "aten::_linalg_eigh": "iterates until the values agree",
    "aten::linalg_eig": "iterates until the values agree",
    "aten::_linalg_eigvals": "iterates until the values agree",
    "aten::_linalg_svd": "iterates until the values agree",
    "aten::linalg_lstsq": "iterates until the values agree",
    "aten::linalg_matrix_exp": "how many terms of the series are added depends on the norm",
}


@op_cost(*DATA_DEPENDENT, source="signatures of the packages named")
def data_dependent(call: OpCall) -> Cost:
    """Work decided by data

    FLOPs = not known
    Bytes = not known
    Assumes nothing.
    """
    raise Missing("data_dependent", "the work of this operator depends on data that is not in the trace")


@op_cost(
    "_Linear",
    "_LayerNormLinear",
    "_LayerNormMLP",
    "_GroupedLinear",
    "_LinearBackward",
    "_LayerNormLinearBackward",
    "_LayerNormMLPBackward",
    "_GroupedLinearBackward",
    source="transformer_engine/pytorch/module: inputs of the autograd functions",
)
def transformer_engine(call: OpCall) -> Cost:
    """A module of Transformer Engine

    FLOPs = not known
    Bytes = not known: it may quantize its operands first
    Assumes nothing.
    """
    raise Missing("no_formula", "whether it computes in 8 bits is not recorded")
