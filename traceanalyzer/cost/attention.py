"""Fused attention, forward and backward: two products forward, five backward; no score matrix in memory."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import bytes_of, bytes_read, dtype, has, matrix_precision, numel, shape
from traceanalyzer.model import Cost, OpCall

_SOURCE = "torch/utils/flop_counter.py: sdpa_flop_count and its backward; FlashAttention-2 (arXiv 2307.08691)"
_TRUE = ("True", "true", "1")


def pairs(queries: int, keys: int, causal: bool) -> int:
    """Query-key pairs that are computed; causal masks aligned at the top left, as torch's are."""
    if not causal:
        return queries * keys
    short = min(queries, keys)
    return short * (short + 1) // 2 + (queries - short) * keys


def _cost(
    call: OpCall, q: int, k: int, v: int, heads_first: bool, causal: bool, reads: int, backward: bool
) -> Cost:
    """`reads`: bytes of every input; heads_first: (B, H, T, d), else (B, T, H, d)."""
    queries, keys, values = shape(call, q), shape(call, k), shape(call, v)
    if len(queries) == 3:
        queries, keys, values = (1, *queries), (1, *keys), (1, *values)
    t, h = (-2, -3) if heads_first else (-3, -2)
    batch, heads, length, dim = queries[0], queries[h], queries[t], queries[-1]
    worth = batch * heads * pairs(length, keys[t], causal)
    flops = 2 * worth * ((3 * dim + 2 * values[-1]) if backward else (dim + values[-1]))
    size = bytes_of(call, q) // max(numel(queries), 1)
    lse = 4 * batch * heads * length
    written = (bytes_of(call, q) + bytes_of(call, k) + bytes_of(call, v) if backward
               else batch * heads * length * values[-1] * size + lse)  # fmt: skip
    note = "" if call.concrete else "no mask assumed: whether it is causal was not recorded"
    return Cost(flops, reads, written, "matrix", matrix_precision(dtype(call, q)),
                special_functions=worth, note=note)  # fmt: skip


def _causal(call: OpCall, *places: int) -> bool:
    return any(i < len(call.concrete) and call.concrete[i].strip() in _TRUE for i in places)


def _all_tensors(call: OpCall, first: int = 0, last: int = 7) -> int:
    """Bytes of the floating-point inputs; seeds and lengths are a few words."""
    return sum(bytes_read(call, i) for i in range(first, min(len(call.shapes), last)) if has(call, i))


def _refuse_varlen(call: OpCall, first: int, last: int) -> None:
    """Sequence lengths packed into one axis are data: only the bytes are known."""
    for i in range(first, min(len(call.shapes), last)):
        if has(call, i) and call.dtypes[i] in ("int32", "int64") and len(shape(call, i)) == 1:
            read, written = _all_tensors(call), bytes_of(call, 0)
            raise Missing("data_dependent", "lengths of the packed sequences are data", read, written)


# Place of is_causal among the arguments: native_functions.yaml.
_FORWARD_CAUSAL = {
    "aten::_scaled_dot_product_flash_attention": (4,),
    "aten::_scaled_dot_product_flash_attention_for_cpu": (4,),
    "aten::_scaled_dot_product_efficient_attention": (6,),
    "aten::_scaled_dot_product_cudnn_attention": (6,),
    "aten::_scaled_dot_product_fused_attention_overrideable": (5,),
    "aten::_scaled_dot_product_attention_math_for_mps": (5,),
    "aten::scaled_dot_product_attention": (5,),
}


@op_cost(*(n for n in _FORWARD_CAUSAL if n != "aten::scaled_dot_product_attention"), source=_SOURCE)
def attention(call: OpCall) -> Cost:
    """O = softmax(scale * Q K^T + mask) V, tensors (B, H, T, d)

    FLOPs = 2 * B * Hq * P * (d + dv); P = Tq*Tk pairs, T(T+1)/2 where causal
    Bytes = Q, K, V and mask read, O and the log-sum-exp (4*B*Hq*Tq) written
    Assumes K and V are read once; shared heads (GQA) count once. torch's counter ignores the causal mask.
    """
    causal = _causal(call, *_FORWARD_CAUSAL[call.name])
    return _cost(call, 0, 1, 2, True, causal, _all_tensors(call), backward=False)


@op_cost("aten::scaled_dot_product_attention", source=_SOURCE, role="composite")
def attention_entry(call: OpCall) -> Cost:
    """O = softmax(scale * Q K^T + mask) V, tensors (B, H, T, d), where it launches its kernel itself

    FLOPs = 2 * B * Hq * P * (d + dv)
    Bytes = Q, K, V and mask read, O and the log-sum-exp written
    Assumes K and V are read once.
    """
    return _cost(call, 0, 1, 2, True, _causal(call, 5), _all_tensors(call), backward=False)


_BACKWARD = {  # name: (q, k, v, places of is_causal)
    "aten::_scaled_dot_product_flash_attention_backward": (1, 2, 3, (11,)),
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": (1, 2, 3, (7,)),
    "aten::_scaled_dot_product_efficient_attention_backward": (1, 2, 3, (10,)),
    "aten::_scaled_dot_product_cudnn_attention_backward": (1, 2, 3, (14,)),
    "aten::_scaled_dot_product_fused_attention_overrideable_backward": (1, 2, 3, (13,)),
}


@op_cost(*_BACKWARD, source=_SOURCE)
def attention_backward(call: OpCall) -> Cost:
    """dQ, dK, dV from dO, Q, K, V, O and the log-sum-exp; tensors (B, H, T, d)

    FLOPs = 2 * B * Hq * P * (3d + 2dv): the scores are computed again
    Bytes = dO, Q, K, V, O, log-sum-exp read, dQ, dK, dV written
    Assumes no fp32 accumulator for dQ in memory.
    """
    q, k, v, places = _BACKWARD[call.name]
    return _cost(call, q, k, v, True, _causal(call, *places), _all_tensors(call), backward=True)


@op_cost("aten::_flash_attention_forward", "flash_attn::_flash_attn_forward",
         "aten::_efficient_attention_forward", "aten::_cudnn_attention_forward", source=_SOURCE)
def attention_kernel(call: OpCall) -> Cost:
    """O = softmax(scale * Q K^T) V, tensors (B, T, H, d) (cuDNN: B, H, T, d)

    FLOPs = 2 * B * Hq * P * (d + dv)
    Bytes = Q, K, V and bias read, O and the log-sum-exp written
    Assumes sequences of equal length: packed ones (cumulative lengths given) are data-dependent.
    """
    places = {"aten::_flash_attention_forward": (8,), "flash_attn::_flash_attn_forward": (5,),
              "aten::_cudnn_attention_forward": (10,)}.get(call.name, ())  # fmt: skip
    causal = _causal(call, *places)
    if call.name == "aten::_efficient_attention_forward":
        causal = len(call.concrete) > 9 and call.concrete[9].strip() in ("1", "2")
    _refuse_varlen(call, 3, 6)
    heads_first = call.name == "aten::_cudnn_attention_forward"
    return _cost(call, 0, 1, 2, heads_first, causal, _all_tensors(call), backward=False)


@op_cost("aten::_flash_attention_backward", "flash_attn::_flash_attn_backward",
         "aten::_efficient_attention_backward", "aten::_cudnn_attention_backward", source=_SOURCE)
def attention_kernel_backward(call: OpCall) -> Cost:
    """dQ, dK, dV; tensors (B, T, H, d) (cuDNN: B, H, T, d)

    FLOPs = 2 * B * Hq * P * (3d + 2dv)
    Bytes = dO, Q, K, V, O, log-sum-exp read, dQ, dK, dV written
    Assumes sequences of equal length: packed ones are data-dependent.
    """
    known = {"aten::_flash_attention_backward": (11,), "aten::_cudnn_attention_backward": (14,)}
    places = known.get(call.name, ())
    _refuse_varlen(call, 5, 9)
    heads_first = call.name == "aten::_cudnn_attention_backward"
    causal = _causal(call, *places)
    return _cost(call, 1, 2, 3, heads_first, causal, _all_tensors(call), backward=True)


@op_cost("flash_attn::_flash_attn_varlen_forward", "flash_attn::_flash_attn_varlen_backward",
         "vllm::unified_attention*", "_vllm_fa3_C::*", "_vllm_fa2_C::*", "sgl_kernel::fwd*",
         "_C_cache_ops::*", "aiter::*mha_varlen*", "aiter::pa*", "aiter::paged*", "_rocm_C::paged_attention*",
         "vllm::paged*", source="signatures of the packages named")
def packed_attention(call: OpCall) -> Cost:
    """Attention over packed sequences or a paged cache

    FLOPs = not known: lengths of sequences are data
    Bytes = not known for a cache, whose touched part is data
    Assumes nothing.
    """
    raise Missing("data_dependent", "lengths of the sequences are data, not in the trace")
