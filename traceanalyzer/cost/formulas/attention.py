"""Fused attention, forward and backward: two products forward, five backward; no score matrix in memory."""

from __future__ import annotations

import msgspec

from traceanalyzer.cost.masks import Mask, Packing
from traceanalyzer.cost.registry import Missing, between, op_cost
from traceanalyzer.cost.tensors import (
    Sizes,
    bytes_of,
    bytes_read,
    dtype,
    has,
    itemsize,
    matrix_precision,
    numel,
    ranked,
    recorded,
    shape,
    whole,
)
from traceanalyzer.records import Cost, OpCall

_SOURCE = (
    "torch/utils/flop_counter.py: sdpa_flop_count, sdpa_backward_flop_count; FlashAttention-2 (2307.08691)"
)


class Layout(msgspec.Struct, frozen=True):
    """Where an op's arguments stand, by torch/aten/src/ATen/native/native_functions.yaml; -1: not there."""

    reads: tuple[int, ...]  # bias and others besides q, k, v, and in backward dO, O, LSE
    causal: int = -1  # a flag
    mask_type: int = -1  # 1: causal from the top left, 2: from the bottom right
    lengths: tuple[int, ...] = ()  # cumulative lengths of packed sequences, and what else makes them data
    packed: tuple[int, ...] = ()  # among these the cumulative lengths of queries and of keys,
    longest: tuple[int, ...] = ()  # and the longest of each, numbers
    window: tuple[int, ...] = ()  # sliding window, left and right; negative or absent: none
    first: int = 0  # q; k and v follow
    heads_first: bool = True  # (B, H, T, d), else (B, T, H, d)
    results: tuple[int, int] = (4, 5)  # of a gradient: the output and the log-sum-exp, which are always given
    bottom_right: bool = False  # a causal mask ends at the last key (the flash-attn package)
    older: int = 0  # by how much flag and window are elsewhere in older versions, which have no flag there


FORWARD = {
    "aten::_scaled_dot_product_flash_attention": Layout((), causal=4),
    "aten::_scaled_dot_product_flash_attention_for_cpu": Layout((5,), causal=4),
    "aten::_scaled_dot_product_efficient_attention": Layout((3,), causal=6),
    "aten::_scaled_dot_product_cudnn_attention": Layout((3,), causal=6),
    "aten::_scaled_dot_product_fused_attention_overrideable": Layout((3,), causal=5),
    "aten::scaled_dot_product_attention": Layout((3,), causal=5),
    "aten::_flash_attention_forward": Layout(
        (), causal=8, lengths=(3, 4, 13), packed=(3, 4), longest=(5, 6), window=(11, 12), heads_first=False),
    "aten::_efficient_attention_forward": Layout(
        (3,), mask_type=9, lengths=(4, 5), packed=(4, 5), longest=(6, 7), heads_first=False),
    "aten::_cudnn_attention_forward": Layout((3,), causal=10, lengths=(4, 5)),
    "flash_attn::_flash_attn_forward": Layout(
        (), causal=5, window=(6, 7), heads_first=False, bottom_right=True),
    "flash_attn::_flash_attn_varlen_forward": Layout(
        (), causal=9, lengths=(3, 4, 15, 17), packed=(3, 4), longest=(5, 6), window=(10, 11),
        heads_first=False, bottom_right=True),
    "xformers_flash::flash_fwd": Layout(
        (), causal=10, lengths=(3, 4, 5, 14), packed=(3, 4), longest=(6, 7), window=(11, 12),
        heads_first=False, bottom_right=True),
    **{f"aiter::{name}": Layout((), causal=5, window=(6, 7), heads_first=False, bottom_right=True)
       for name in (
           "mha_fwd", "fmha_v3_fwd", "_flash_attn_forward", "wrapper_mha_fwd", "wrapper_fmha_v3_fwd")},
    **{f"aiter::{name}": Layout(
        (), causal=12, older=-2, lengths=(3, 4, 17, 18), packed=(3, 4), longest=(5, 6), window=(13, 14),
        heads_first=False, bottom_right=True) for name in (
            "mha_varlen_fwd", "wrapper_mha_varlen_fwd", "fmha_v3_varlen_fwd", "wrapper_fmha_v3_varlen_fwd")},
    # An autograd function of the package, where it launches its kernels itself
    "FlashAttnFunc": Layout((), causal=5, window=(6,), heads_first=False, bottom_right=True),
    "FlashAttnVarlenFunc": Layout(
        (), causal=9, lengths=(3, 4), packed=(3, 4), longest=(5, 6), window=(10,), heads_first=False,
        bottom_right=True),
    "flash_attn_3::fwd": Layout(
        (), causal=24, lengths=(7, 8, 9, 10, 11, 14), packed=(7, 8), longest=(12, 13), window=(25, 26),
        heads_first=False, bottom_right=True),
    "flash_attn_3::_flash_attn_forward": Layout(
        (), causal=24, lengths=(7, 8, 9, 10, 11, 14), packed=(7, 8), longest=(12, 13), window=(25, 26),
        heads_first=False, bottom_right=True),
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
        (0, 4, 5), causal=11, lengths=(6, 7), packed=(6, 7), longest=(8, 9), window=(15, 16), first=1,
        heads_first=False),
    "aten::_efficient_attention_backward": Layout(
        (0, 4, 5, 10), mask_type=14, lengths=(6, 7), packed=(6, 7), longest=(8, 9), first=1, results=(5, 10),
        heads_first=False),
    "aten::_cudnn_attention_backward": Layout((0, 4, 5, 8), causal=14, lengths=(9, 10), first=1),
    "flash_attn::_flash_attn_backward": Layout(
        (0, 4, 5), causal=11, window=(12, 13), first=1, heads_first=False, bottom_right=True),
    "flash_attn::_flash_attn_varlen_backward": Layout(
        (0, 4, 5), causal=15, lengths=(9, 10), packed=(9, 10), longest=(11, 12), window=(16, 17), first=1,
        heads_first=False, bottom_right=True),
    **{f"aiter::{name}": Layout(
        (0, 4, 5), causal=8, window=(9, 10), first=1, heads_first=False, bottom_right=True)
       for name in ("mha_bwd", "fmha_v3_bwd", "wrapper_mha_bwd", "wrapper_fmha_v3_bwd")},
    "aiter::_flash_attn_backward": Layout(
        (0, 4, 5), causal=12, older=-1, window=(13, 14), first=1, heads_first=False, bottom_right=True),
    "flash_attn_3::bwd": Layout(
        (0, 4, 5), causal=16, lengths=(9, 10, 11, 12), packed=(9, 10), longest=(13, 14), window=(17, 18),
        first=1, heads_first=False, bottom_right=True),
    "flash_attn_3::_flash_attn_backward": Layout(
        (0, 4, 5), causal=13, lengths=(6, 7, 8, 9), packed=(6, 7), longest=(10, 11), window=(14, 15), first=1,
        heads_first=False, bottom_right=True),
}  # fmt: skip
_OF_PYTHON = ("FlashAttnFunc", "FlashAttnVarlenFunc")
_ENTRY = "aten::scaled_dot_product_attention"


_PACKED = "lengths of the packed sequences are data"


def _text(call: OpCall, index: int) -> str:
    return call.concrete[index].strip() if 0 <= index < len(call.concrete) else ""


def _cost(call: OpCall, at: Layout, backward: bool) -> Cost:
    q, k, v = at.first, at.first + 1, at.first + 2
    recorded(call, *((0, *at.results) if backward else ()))
    rank = max(len(shape(call, q)), 3)
    queries, keys, values = (_with_batch(ranked(call, index, rank)) for index in (q, k, v))
    reads = sum(bytes_read(call, i) for i in (q, k, v, *at.reads))
    written = sum(bytes_of(call, i) for i in (q, k, v)) if backward else 0
    t, h = (-2, -3) if at.heads_first else (-3, -2)
    batch, heads, length, dim = queries[0], queries[h], queries[t], queries[-1]
    least, most = _pairs_between(call, at, length, keys[t], reads, written or bytes_of(call, q))
    if not backward:
        written = batch * heads * length * (values[-1] * itemsize(call, q) + 4)
    note = "" if call.concrete else "no mask assumed: whether it is causal was not recorded"

    def cost(seen: int) -> Cost:
        worth = batch * heads * seen
        scores = 2 * worth * dim  # of one product of queries and keys
        flops = 2 * worth * ((3 * dim + 2 * values[-1]) if backward else (dim + values[-1]))
        return Cost(
            flops, reads, written, "matrix", matrix_precision(dtype(call, q)), special_functions=worth,
            note=note, recomputed_flops=scores if backward else 0,
        )  # fmt: skip

    return between(cost(least), cost(most), _PACKED)


def _with_batch(dims: Sizes) -> Sizes:
    if len(dims) > 4:
        raise Missing("no_shapes", f"attention of tensors of {len(dims)} dimensions is recorded")
    return dims if len(dims) == 4 else Sizes((1, *dims))


def _pairs_between(
    call: OpCall, at: Layout, queries: int, keys: int, reads: int, written: int
) -> tuple[int, int]:
    """Least and most under the causal mask and the sliding window that the call asks for."""
    mask_type = _text(call, at.mask_type)
    says = _text(call, at.causal).lower() in ("true", "false")
    shift = 0 if says else at.older
    causal = mask_type in ("1", "2") or _text(call, at.causal + shift) in ("True", "true", "1")
    left, right = _window(call, at, shift)
    mask = Mask(left, 0 if causal else right, at.bottom_right or mask_type == "2")
    if call.name in _OF_PYTHON and not says:  # whose profiler leaves out what is no tensor
        return Mask(0, 0, True).pairs(queries, keys), queries * keys
    if "varlen" not in call.name and not any(has(call, i) for i in at.lengths):
        return (mask.pairs(queries, keys),) * 2
    if not at.packed or any(has(call, i) for i in at.lengths if i not in at.packed) or not call.concrete:
        raise Missing("data_dependent", _PACKED, reads, written)
    sequences = max(
        (shape(call, i)[0] - 1 for i in at.packed if has(call, i)), default=0
    )  # offsets: one more
    longest = (min(whole(_text(call, i)) or total, total)
               for i, total in zip(at.longest, (queries, keys), strict=True))  # fmt: skip
    return Packing(queries, keys, max(sequences, 0), *longest).pairs(mask)


def _window(call: OpCall, at: Layout, shift: int) -> tuple[int | None, int | None]:
    """How far a query sees to its left and right: two arguments, or one of two numbers."""
    if len(at.window) == 1:
        texts = _text(call, at.window[0]).strip("()[]").split(",")
        left, right = (*texts, "", "")[:2]
    else:
        left, right = (_text(call, side + shift) for side in at.window or (-1, -1))
    return _side(left), _side(right)


def _side(text: str) -> int | None:
    """How far a window reaches; None where it has no end."""
    far = whole(text)
    return None if far is None or far < 0 else far


@op_cost(*(name for name in FORWARD if name != _ENTRY), source=_SOURCE)
def attention(call: OpCall) -> Cost:
    """O = softmax(scale * Q K^T + mask) V, tensors (B, H, T, d) or, inside torch's ops, (B, T, H, d)

    FLOPs = 2 * B * Hq * P * (d + dv); P = the pairs under the mask: Tq*Tk, or T(T+1)/2 where causal
    Bytes = Q, K, V and mask read, O and the log-sum-exp (4*B*Hq*Tq) written
    Assumes K and V are read once; heads shared by queries (GQA) count once. Unlike torch's counter it
    heeds the causal mask and a sliding window. Of packed sequences, whose lengths are data, P lies between
    what sequences of equal length see and what as many of the longest do; queries and keys in equal number
    are taken to be of the same sequences.
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
    as in the forward pass.
    """
    return _cost(call, BACKWARD[call.name], backward=True)


@op_cost("EvoformerFusedAttention", "EvoformerAttention",
         source="microsoft/DeepSpeed: deepspeed/ops/deepspeed4science/evoformer_attn.py")  # fmt: skip
def with_pair_bias(call: OpCall) -> Cost:
    """O = softmax(Q K^T + biases) V, tensors (.., T, H, d): (Q, K, V, bias, bias)

    FLOPs = 2 * B * H * T * Tk * (d + dv), B all dimensions before
    Bytes = Q, K, V and biases read, O and the log-sum-exp written
    Assumes every operand is read once.
    """
    q, k, v = (shape(call, i) for i in range(3))
    tokens = numel(q[:-1])
    worth = tokens * k[-3]
    read = sum(bytes_read(call, i) for i in range(5) if has(call, i))
    written = tokens * (v[-1] * itemsize(call, 0) + 4)
    return Cost(2 * worth * (q[-1] + v[-1]), read, written, "matrix", matrix_precision(dtype(call, 0)),
                special_functions=worth)  # fmt: skip


@op_cost(
    "vllm::unified_attention",
    "vllm::unified_attention_with_output",
    source="vllm-project/vllm: vllm/attention/layer.py; sums of the step's name: inference/batches.py",
)
def served_attention(call: OpCall) -> Cost:
    """Attention of new tokens over a paged cache: (Q, K, V, output)

    FLOPs = 2 * Hq * P * (d + dv) where the step's name gives the requests: P at most all tokens up to each
    new one, at least one for each, for a layer may have a window; else not known
    Bytes = Q read and the output written; at most the keys and values of all requests read, at least one each
    Assumes the cache is in 8 bits where Q is, else has K's type.
    """
    queries, written = bytes_read(call, 0), bytes_of(call, 3) or bytes_of(call, 0)
    if call.batch is None:
        raise Missing("data_dependent", _PACKED, queries, written)
    prompts, generated = call.batch
    (_, heads, dim), (_, kept, _), (_, _, wide) = (ranked(call, i, 3) for i in range(3))
    each = kept * (dim + wide) * min(itemsize(call, 0), itemsize(call, 1))

    def cost(pairs: int, keys: int) -> Cost:
        flops, read = 2 * heads * pairs * (dim + wide), queries + keys * each
        precision = matrix_precision(dtype(call, 0))
        return Cost(flops, read, written, "matrix", precision, special_functions=heads * pairs)

    new = prompts.queries + generated.queries
    pairs = max(prompts.causal_pairs + generated.causal_pairs, new)
    most = cost(pairs, max(prompts.keys + generated.keys, new))
    one_each = not prompts.requests and generated.queries == generated.requests
    return between(cost(new, new), most, "whether a layer has a window is not recorded", one_each)


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
