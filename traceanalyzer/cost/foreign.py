"""Operators of other packages whose work the trace cannot tell, each with the reason."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.model import Cost, OpCall

# What decides the work of these is data (indices, lengths, routing) or not among the recorded dims.
DATA_DEPENDENT = {
    "fbgemm::split_embedding_*": "rows touched are index data; the tables are not among the dims",
    "fbgemm::*lookup*": "rows touched are index data",
    "fbgemm::*jagged*": "lengths are data",
    "fbgemm::permute_*sparse*": "lengths are data",
    "vllm::*fused_moe*": "routing is data; the weights are not among the dims",
    "vllm::moe_forward*": "routing is data; the weights are not among the dims",
    "_moe_C::*": "routing is data",
    "sglang::*fused_moe*": "routing is data",
    "aiter::*moe*": "routing is data",
    "sgl_kernel::*moe*": "routing is data",
}


@op_cost(*DATA_DEPENDENT, source="signatures of the packages named")
def data_dependent(call: OpCall) -> Cost:
    """Work decided by data

    FLOPs = not known
    Bytes = not known
    Assumes nothing.
    """
    raise Missing("data_dependent", "the work of this operator depends on data that is not in the trace")
