"""Fused attention, forward and backward: two products forward, five backward; no score matrix in memory."""

from __future__ import annotations

from dataclasses import dataclass

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    Sizes,
    bytes_of,
    bytes_read,
    dtype,
    has,
    itemsize,
    matrix_precision,
    ranked,
    recorded,
    shape,
    whole,
)
from traceanalyzer.records import Cost, OpCall

_SOURCE = (
    "torch/utils/flop_counter.py: sdpa_flop_count, sdpa_backward_flop_count; FlashAttention-2 (2307.08691)"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an op's arguments stand, by torch/aten/src/ATen/native/native_functions.yaml; -1: not there."""

    reads: tuple[int, ...]  # bias and others besides q, k, v, and in backward dO, O, LSE
    causal: int = -1  # a flag
    mask_type: int = -1  # 1: causal from the top left, 2: from the bottom right
    lengths: tuple[int, ...] = ()  # cumulative lengths of packed sequences
    window: tuple[int, ...] = ()  # sliding window, left and right; negative or absent: none
    first: int = 0  # q; k and v follow
    heads_first: bool = True  # (B, H, T, d), else (B, T, H, d)
    results: tuple[int, int] = (4, 5)  # of a gradient: the output and the log-sum-exp, which are always given
    bottom_right: bool = False  # a causal mask ends at the last key (the flash-attn package)


FORWARD = {
    "aten::_scaled_dot_product_flash_attention": Layout((), causal=4),
    "aten::_scaled_dot_product_flash_attention_for_cpu": Layout((5,), causal=4),
    "aten::_scaled_dot_product_efficient_attention": Layout((3,), causal=6),
    "aten::_scaled_dot_product_cudnn_attention": Layout((3,), causal=6),
    "aten::_scaled_dot_product_fused_attention_overrideable": Layout((3,), causal=5),
    "aten::scaled_dot_product_attention": Layout((3,), causal=5),
    "aten::_flash_attention_forward": Layout(
        (), causal=8, lengths=(3, 4), window=(11, 12), heads_first=False),
    "aten::_efficient_attention_forward": Layout((3,), mask_type=9, lengths=(4, 5), heads_first=False),
    "aten::_cudnn_attention_forward": Layout((3,), causal=10, lengths=(4, 5)),
    "flash_attn::_flash_attn_forward": Layout(
        (), causal=5, window=(6, 7), heads_first=False, bottom_right=True),
    "flash_attn::_flash_attn_varlen_forward": Layout(
        (), causal=9, lengths=(3, 4), window=(10, 11), heads_first=False, bottom_right=True),
    "xformers_flash::flash_fwd": Layout(
        (), causal=10, lengths=(3, 4, 5), window=(11, 12), heads_first=False, bottom_right=True),
    "aiter::mha_fwd": Layout((), causal=5, window=(6, 7), heads_first=False, bottom_right=True),
    "aiter::fmha_v3_fwd": Layout((), causal=5, window=(6, 7), heads_first=False, bottom_right=True),
    "flash_attn_3::fwd": Layout(
        (), causal=24, lengths=(7, 8, 9, 10, 11, 14), window=(25, 26), heads_first=False, bottom_right=True),
    "flash_attn_3::_flash_attn_forward": Layout(
        (), causal=24, lengths=(7, 8, 9, 10, 11, 14), window=(25, 26), heads_first=False, bottom_right=True),
}  # fmt: skip
BACKWARD = {
    "aten::_scaled_dot_product_flash_attention_backward": Layout((0, 4, 5), causal=11, first=1),
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": Layout((0, 4, 5, 8), causal=7, first=1),
    "aten::_scaled_dot_product_efficient_attention_backward": Layout(
        (0, 4, 5, 6), causal=11, first=1, results=(5, 6)),
    "aten::_scaled_dot_product_cudnn_attention_backward": Layout((0, 4, 5, 8), causal=14, first=1),
    "aten::_scaled_dot_product_fused_attention_overrideable_backward": Layout(
        (0, 4, 6, 7), causal=13, first=1, results=(6, 7)),
    "aten::_flash_attention_backward": Layout(
        (0, 4, 5), causal=11, lengths=(6, 7), window=(15, 16), first=1, heads_first=False),
    "aten::_efficient_attention_backward": Layout(
        (0, 4, 5, 10), mask_type=14, lengths=(6, 7), first=1, results=(5, 10), heads_first=False),
    "aten::_cudnn_attention_backward": Layout((0, 4, 5, 8), causal=14, lengths=(9, 10), first=1),
    "flash_attn::_flash_attn_backward": Layout(
        (0, 4, 5), causal=11, window=(12, 13), first=1, heads_first=False, bottom_right=True),
    "flash_attn::_flash_attn_varlen_backward": Layout(
        (0, 4, 5), causal=15, lengths=(9, 10), window=(16, 17), first=1, heads_first=False,
        bottom_right=True),
    "aiter::mha_bwd": Layout(
        (0, 4, 5), causal=8, window=(9, 10), first=1, heads_first=False, bottom_right=True),
    "flash_attn_3::bwd": Layout(
        (0, 4, 5), causal=16, lengths=(9, 10, 11, 12), window=(17, 18), first=1, heads_first=False,
        bottom_right=True),
    "flash_attn_3::_flash_attn_backward": Layout(
        (0, 4, 5), causal=13, lengths=(6, 7, 8, 9), window=(14, 15), first=1, heads_first=False,
        bottom_right=True),
}  # fmt: skip
_ENTRY = "aten::scaled_dot_product_attention"


def pairs(
    queries: int, keys: int, left: int | None = None, right: int | None = None, bottom_right: bool = False
) -> int:
    """Query-key pairs that are computed: each query sees so many keys to its left and right; None: all.

    A causal mask is `right=0`. Query i stands at key i, or, counted from the bottom right, the last query
    at the last key.
    """
    shift = keys - queries if bottom_right else 0
    up_to_last = queries * keys if right is None else _keys_up_to(queries, keys, shift + right)
    before_first = 0 if left is None else _keys_up_to(queries, keys, shift - left - 1)
    return up_to_last - before_first


def _keys_up_to(queries: int, keys: int, last: int) -> int:
    """Keys up to `last`, counted from each query's own, of all queries: the sum of a clipped ramp."""
    first = min(max(-last, 0), queries)  # the first query that has one
    full = min(max(keys - last - 1, first), queries)  # the first that has them all
    ramp = (full - first) * (last + 1) + (full * (full - 1) - first * (first - 1)) // 2
    return ramp + (queries - full) * keys


def _text(call: OpCall, index: int) -> str:
    return call.concrete[index].strip() if 0 <= index < len(call.concrete) else ""


def _cost(call: OpCall, at: Layout, backward: bool) -> Cost:
    q, k, v = at.first, at.first + 1, at.first + 2
    recorded(call, *((0, *at.results) if backward else ()))
    rank = max(len(shape(call, q)), 3)
    queries, keys, values = (_with_batch(ranked(call, index, rank)) for index in (q, k, v))
    reads = sum(bytes_read(call, i) for i in (q, k, v, *at.reads))
    written = sum(bytes_of(call, i) for i in (q, k, v)) if backward else 0
    _refuse(call, at, reads, written or bytes_of(call, q))
    t, h = (-2, -3) if at.heads_first else (-3, -2)
    batch, heads, length, dim = queries[0], queries[h], queries[t], queries[-1]
    worth = batch * heads * _pairs(call, at, length, keys[t])
    scores = 2 * worth * dim  # of one product of queries and keys
    flops = 2 * worth * ((3 * dim + 2 * values[-1]) if backward else (dim + values[-1]))
    if not backward:
        written = batch * heads * length * (values[-1] * itemsize(call, q) + 4)
    note = "" if call.concrete else "no mask assumed: whether it is causal was not recorded"
    return Cost(flops, reads, written, "matrix", matrix_precision(dtype(call, q)),
                special_functions=worth, note=note, recomputed_flops=scores if backward else 0)  # fmt: skip


def _with_batch(dims: Sizes) -> Sizes:
    if len(dims) > 4:
        raise Missing("no_shapes", f"attention of tensors of {len(dims)} dimensions is recorded")
    return dims if len(dims) == 4 else Sizes((1, *dims))


def _pairs(call: OpCall, at: Layout, queries: int, keys: int) -> int:
    """Under the causal mask and the sliding window that the call asks for."""
    mask_type = _text(call, at.mask_type)
    causal = mask_type in ("1", "2") or _text(call, at.causal) in ("True", "true", "1")
    left, right = (_side(_text(call, side)) for side in at.window or (-1, -1))
    return pairs(queries, keys, left, 0 if causal else right, at.bottom_right or mask_type == "2")


def _side(text: str) -> int | None:
    """How far a window reaches; None where it has no end."""
    far = whole(text)
    return None if far is None or far < 0 else far


def _refuse(call: OpCall, at: Layout, reads: int, written: int) -> None:
    """Where the pairs are data only the bytes are known."""
    if "varlen" in call.name or any(has(call, i) for i in at.lengths):
        raise Missing("data_dependent", "lengths of the packed sequences are data", reads, written)


@op_cost(*(name for name in FORWARD if name != _ENTRY), source=_SOURCE)
def attention(call: OpCall) -> Cost:
    """O = softmax(scale * Q K^T + mask) V, tensors (B, H, T, d) or, inside torch's ops, (B, T, H, d)

    FLOPs = 2 * B * Hq * P * (d + dv); P = the pairs under the mask: Tq*Tk, or T(T+1)/2 where causal
    Bytes = Q, K, V and mask read, O and the log-sum-exp (4*B*Hq*Tq) written
    Assumes K and V are read once; heads shared by queries (GQA) count once. Unlike torch's counter it
    heeds the causal mask and a sliding window. Packed sequences are not priced.
    """
    return _cost(call, FORWARD[call.name], backward=False)


@op_cost(_ENTRY, source=_SOURCE, role="composite")
def attention_entry(call: OpCall) -> Cost:
    """O = softmax(scale * Q K^T + mask) V, tensors (B, H, T, d), where it launches its kernel itself

    FLOPs = 2 * B * Hq * P * (d + dv)
    Bytes = Q, K, V and mask read, O and the log-sum-exp written
    Assumes K and V are read once.
    """
    return _cost(call, FORWARD[call.name], backward=False)


@op_cost(*BACKWARD, source=_SOURCE)
def attention_backward(call: OpCall) -> Cost:
    """dQ, dK, dV from dO, Q, K, V, O and the log-sum-exp

    FLOPs = 2 * B * Hq * P * (3d + 2dv); of these the scores, 2 * B * Hq * P * d, are computed again
    Bytes = dO, Q, K, V, O, log-sum-exp and mask read, dQ, dK, dV written
    Assumes no fp32 accumulator for dQ in memory. MFU leaves out what is computed again. Packed sequences
    are not priced.
    """
    return _cost(call, BACKWARD[call.name], backward=True)


@op_cost(
    "vllm::unified_attention",
    "vllm::unified_attention_with_output",
    source="vllm-project/vllm: vllm/attention/layer.py",
)
def served_attention(call: OpCall) -> Cost:
    """Attention of new tokens over a paged cache: (Q, K, V, output)

    FLOPs = not known: how long the sequences are is data
    Bytes = at least Q read and the output written
    Assumes nothing.
    """
    raise Missing("data_dependent", "lengths of the sequences are data, not in the trace",
                  bytes_read(call, 0), bytes_of(call, 3) or bytes_of(call, 0))  # fmt: skip


@op_cost(
    "_vllm_fa3_C::*",
    "_vllm_fa2_C::*",
    "sgl_kernel::fwd*",
    "aiter::*mha_varlen*",
    "aiter::pa*",
    "aiter::paged*",
    "_rocm_C::paged*",
    "vllm::paged*",
    source="signatures of the packages named",
)
def packed_attention(call: OpCall) -> Cost:
    """Attention over packed sequences or a paged cache

    FLOPs = not known: lengths of sequences are data
    Bytes = not known for a cache, whose touched part is data
    Assumes nothing.
    """
    raise Missing("data_dependent", "lengths of the sequences are data, not in the trace")
