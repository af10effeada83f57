"""Operators of serving and training packages whose dims determine the work, from their signatures."""

from __future__ import annotations

import msgspec

from traceanalyzer.cost.registry import op_cost
from traceanalyzer.cost.tensors import (
    bytes_of,
    bytes_read,
    count,
    dtype,
    has,
    is_floating,
    itemsize,
    numel,
    shape,
)
from traceanalyzer.records import Cost, OpCall

_VLLM = "vllm-project/vllm: csrc/torch_bindings.cpp, csrc/moe/torch_bindings.cpp"
_SGLANG = "sgl-project/sglang: sgl-kernel/csrc/common_extension.cc; flashinfer: norm.py, activation.py"
_APEX = "NVIDIA/apex: apex/normalization/fused_layer_norm.py; Megatron-LM: fused_softmax.py"
_LIGER = "linkedin/Liger-Kernel: src/liger_kernel/ops"
_FBGEMM = "pytorch/FBGEMM: fbgemm_gpu/src, permute_pooled_embedding_ops, sparse_ops"


class Signature(msgspec.Struct, frozen=True):
    """Which arguments an op reads and writes, and its nominal FLOPs an element of argument `of`."""

    reads: tuple[int, ...]
    writes: tuple[int, ...] = ()
    flops: int = 0
    special: int = 0
    of: int = 0
    makes: tuple[int, ...] = ()  # results that are no argument: as large as these inputs
    per_row: int = 0  # bytes of statistics a row of `of`, written


_NORM = Signature((1, 2), (0,), flops=4, of=1)
_ADD_NORM = Signature((0, 1, 2), (0, 1), flops=5)
_GATED = Signature((1,), (0,), flops=5, special=1)
_QUANTIZED = Signature((1, 2, 3), (0,), flops=1, of=1)
_QUANTIZED_BY_ROW = Signature((1,), (0, 2, 3), flops=2, of=1)
_QUANTIZED_BY_GROUP = Signature((0,), (1, 2), flops=2)
SERVING = {
    "_C::rms_norm": _NORM,
    "_C::fused_add_rms_norm": _ADD_NORM,
    "_C::rms_norm_static_fp8_quant": Signature((1, 2, 3), (0,), flops=5, of=1),
    "_C::fused_add_rms_norm_static_fp8_quant": Signature((1, 2, 3, 4), (0, 2), flops=6, of=1),
    "_C::rms_norm_dynamic_per_token_quant": Signature((1, 2, 6), (0, 3, 6), flops=6, of=1),
    "_C::silu_and_mul": _GATED, "_C::mul_and_silu": _GATED,
    "_C::gelu_and_mul": Signature((1,), (0,), flops=6, special=1),
    "_C::gelu_tanh_and_mul": Signature((1,), (0,), flops=9, special=1),
    "_C::swigluoai_and_mul": Signature((1,), (0,), flops=8, special=1),
    "_C::fatrelu_and_mul": Signature((1,), (0,), flops=2),
    "_C::silu_and_mul_quant": Signature((1, 2), (0,), flops=6, special=1),
    "_C::gelu_new": Signature((1,), (0,), flops=8, special=1),
    "_C::gelu_fast": Signature((1,), (0,), flops=8, special=1),
    "_C::gelu_quick": Signature((1,), (0,), flops=4, special=1),
    "_C::static_scaled_fp8_quant": _QUANTIZED, "_C::static_scaled_int8_quant": _QUANTIZED,
    "_C::dynamic_scaled_fp8_quant": _QUANTIZED_BY_ROW,
    "_C::dynamic_per_token_scaled_fp8_quant": Signature((1, 3), (0, 2), flops=2, of=1),
    "_C::dynamic_scaled_int8_quant": _QUANTIZED_BY_ROW,
    "_C::per_token_group_fp8_quant": _QUANTIZED_BY_GROUP,
    "_C::per_token_group_quant_int8": _QUANTIZED_BY_GROUP,
    "_moe_C::topk_softmax": Signature((3,), (0, 1, 2), flops=5, special=1, of=3),
    "_moe_C::moe_sum": Signature((0,), (1,), flops=1),
}  # fmt: skip
SGLANG = {
    **{f"{package}::{name}": signature for package in ("sgl_kernel", "flashinfer") for name, signature in {
        "rmsnorm": _NORM, "gemma_rmsnorm": _NORM,
        "fused_add_rmsnorm": _ADD_NORM, "gemma_fused_add_rmsnorm": _ADD_NORM,
        "silu_and_mul": _GATED,
        "gelu_and_mul": Signature((1,), (0,), flops=6, special=1),
        "gelu_tanh_and_mul": Signature((1,), (0,), flops=9, special=1),
    }.items()},
    "sgl_kernel::sgl_per_token_group_quant_fp8": _QUANTIZED_BY_GROUP,
    "sgl_kernel::sgl_per_token_group_quant_int8": _QUANTIZED_BY_GROUP,
    "sgl_kernel::sgl_per_token_group_quant_8bit": _QUANTIZED_BY_GROUP,
    "sgl_kernel::sgl_per_token_quant_fp8": _QUANTIZED_BY_GROUP,
    "sgl_kernel::sgl_per_tensor_quant_fp8": _QUANTIZED_BY_GROUP,
    "sgl_kernel::topk_softmax": Signature((2,), (0, 1), flops=5, special=1, of=2),
}  # fmt: skip
APEX = {  # autograd Functions, recorded with the tensors given to `apply`
    "FusedLayerNormAffineFunction": Signature((0, 1, 2), flops=7, makes=(0,), per_row=8),
    "FusedLayerNormFunction": Signature((0,), flops=7, makes=(0,), per_row=8),
    "FusedRMSNormAffineFunction": Signature((0, 1), flops=4, makes=(0,), per_row=4),
    "FusedRMSNormFunction": Signature((0,), flops=4, makes=(0,), per_row=4),
    "ScaledSoftmax": Signature((0,), flops=5, special=1, makes=(0,)),
    "ScaledMaskedSoftmax": Signature((0, 1), flops=5, special=1, makes=(0,)),
}
LIGER = {
    "LigerRMSNormFunction": Signature((0, 1), flops=4, makes=(0,), per_row=4),
    "LigerLayerNormFunction": Signature((0, 1, 2), flops=7, makes=(0,), per_row=8),
    "LigerSiLUMulFunction": Signature((0, 1), flops=5, special=1, makes=(0,)),
    "LigerGELUMulFunction": Signature((0, 1), flops=9, special=1, makes=(0,)),
    "LigerRopeFunction": Signature((0, 1, 2, 3), (0, 1), flops=3),
    "LigerCrossEntropyFunction": Signature((0, 1), (0,), flops=6, special=1),
}
FBGEMM = {
    "fbgemm::permute_pooled_embs": Signature((0, 1, 2), makes=(0,)),
    "fbgemm::permute_pooled_embs_auto_grad": Signature((0, 1, 2), makes=(0,)),
    "fbgemm::recat_embedding_grad_output": Signature((0,), makes=(0,)),
    "fbgemm::recat_embedding_grad_output_mixed_D": Signature((0,), makes=(0,)),
    "fbgemm::recat_embedding_grad_output_mixed_D_batch": Signature((0, 1, 2), makes=(0,)),
    "fbgemm::asynchronous_complete_cumsum": Signature((0,), flops=1, makes=(0,)),
    "fbgemm::asynchronous_exclusive_cumsum": Signature((0,), flops=1, makes=(0,)),
    "fbgemm::asynchronous_inclusive_cumsum": Signature((0,), flops=1, makes=(0,)),
    "fbgemm::bounds_check_indices": Signature((0, 1, 2), flops=1, of=1),
}
_ALL = SERVING | SGLANG | APEX | LIGER | FBGEMM


def _moved(call: OpCall) -> Cost:
    """Arguments read and written by the signature, each once."""
    given = _ALL[call.name]
    dims = shape(call, given.of)
    rows = numel(dims[:-1])
    written = sum(bytes_of(call, i) for i in (*given.writes, *given.makes)) + given.per_row * rows
    size = numel(dims)
    return Cost(given.flops * size, sum(bytes_read(call, i) for i in given.reads), written, "vector", "fp32",
                special_functions=given.special * size)  # fmt: skip


@op_cost(*SERVING, source=_VLLM)
def served(call: OpCall) -> Cost:
    """Norms, gates, quantization and routing of vLLM

    FLOPs = nominal operations an element: RMS norm 4, its added residual 1, a gate 5 to 9, quantization 1
    or 2
    Bytes = the arguments it reads and those it writes, by its signature
    Assumes each is touched once; a scale that is looked for first takes a second pass.
    """
    return _moved(call)


@op_cost(*SGLANG, source=_SGLANG)
def served_by_sglang(call: OpCall) -> Cost:
    """Norms, gates, quantization and routing of SGLang and FlashInfer

    FLOPs = nominal operations an element: RMS norm 4, its added residual 1, a gate 5 to 9, quantization 2
    Bytes = the arguments it reads and those it writes, by its signature
    Assumes each is touched once.
    """
    return _moved(call)


@op_cost(*APEX, source=_APEX)
def of_apex(call: OpCall) -> Cost:
    """Fused norms and softmaxes of Apex and Megatron, forward

    FLOPs = nominal operations an element: layer norm 7, RMS norm 4, scaled softmax 5
    Bytes = the inputs read, as much as the first written, and fp32 statistics a row
    Assumes that a row is one of the last dimension; statistics of several are a floor then.
    """
    return _moved(call)


@op_cost(*LIGER, source=_LIGER)
def of_liger(call: OpCall) -> Cost:
    """Fused norms, gates, rotary embedding and cross entropy of Liger, forward

    FLOPs = nominal operations an element: layer norm 7, RMS norm 4, a gate 5 to 9, rotation 3, loss 6
    Bytes = the inputs read, the result written (a rotation and a loss's gradient: in place)
    Assumes each is touched once; the loss reads its logits twice where a row does not stay on chip.
    """
    return _moved(call)


@op_cost(*FBGEMM, source=_FBGEMM)
def of_fbgemm(call: OpCall) -> Cost:
    """Permutations, sums and checks of FBGEMM

    FLOPs = 1 an element for sums and checks, 0 for permutations
    Bytes = the inputs read, as much as the first written; a check writes nothing
    Assumes that a permutation leaves nothing out and repeats nothing.
    """
    return _moved(call)


@op_cost("ScaledUpperTriangMaskedSoftmax", source=_APEX)
def causal_softmax(call: OpCall) -> Cost:
    """softmax(scale * x) over the keys up to each query, zeros behind, x [.., q, k]

    FLOPs = 5 an element under the mask, one of them an exponential
    Bytes = the elements under the mask read, all written
    Assumes square matrices, as its kernel does.
    """
    dims = shape(call, 0)
    seen = numel(dims[:-2]) * (dims[-2] * (dims[-1] + 1) // 2)
    return Cost(5 * seen, seen * itemsize(call, 0), bytes_of(call, 0), "vector", "fp32",
                special_functions=seen)  # fmt: skip


@op_cost("aiter::_groupnorm_run", source="aiter/ops/groupnorm.py")
def group_norm(call: OpCall) -> Cost:
    """(x - mean) / std * w + b over groups of channels

    FLOPs = 7 an element
    Bytes = x, w and b read, y written
    Assumes one pass; the statistics need a second where a group does not stay on chip.
    """
    size = numel(shape(call, 0))
    read = sum(bytes_read(call, i) for i in (0, 2, 3))
    return Cost(7 * size, read, bytes_of(call, 0), "vector", "fp32")


@op_cost("_C::rotary_embedding", source=_VLLM)
def rotary(call: OpCall) -> Cost:
    """Queries and keys rotated in place by cached cosines and sines: (positions, Q, K, size, cache, neox)

    FLOPs = 3 a rotated element
    Bytes = the rotated part of Q and K read and written, positions, and a row of the cache a position
    Assumes no row of the cache is read twice.
    """
    head, width = max(count(call, 3), 1), shape(call, 4)[-1]
    places = numel(shape(call, 0))
    part = [(bytes_of(call, i) * width // head, numel(shape(call, i)) * width // head)
            for i in (1, 2) if has(call, i)]  # fmt: skip
    moved = sum(size for size, _ in part)
    cached = places * width * itemsize(call, 4) + bytes_read(call, 0)
    return Cost(3 * sum(count for _, count in part), moved + cached, moved, "vector", "fp32")


@op_cost("sgl_kernel::apply_rope_pos_ids_cos_sin_cache", source=_SGLANG)
def rotary_of_sglang(call: OpCall) -> Cost:
    """Queries and keys rotated by cached cosines and sines: (Q, K, rotated Q, rotated K, cache, places)

    FLOPs = 3 an element
    Bytes = Q and K read, both written, positions, and a row of the cache a position
    Assumes no row of the cache is read twice.
    """
    size = sum(numel(shape(call, i)) for i in (0, 1))
    places = numel(shape(call, 5))
    cached = places * shape(call, 4)[-1] * itemsize(call, 4) + bytes_read(call, 5)
    return Cost(3 * size, bytes_read(call, 0) + bytes_read(call, 1) + cached,
                bytes_of(call, 2) + bytes_of(call, 3), "vector", "fp32")  # fmt: skip


@op_cost("_C_cache_ops::reshape_and_cache", "_C_cache_ops::reshape_and_cache_flash", source=_VLLM)
def into_cache(call: OpCall) -> Cost:
    """Keys and values written to their slots of the paged cache: (K, V, K cache, V cache, slots)

    FLOPs = 1 an element where the cache has another type, else 0
    Bytes = K, V and slots read, as many elements of the cache written
    Assumes every token has a slot: padded ones are skipped, an upper bound then.
    """
    size = numel(shape(call, 0)) + numel(shape(call, 1))
    each = itemsize(call, 2)
    read = sum(bytes_read(call, i) for i in (0, 1, 4))
    return Cost(size * (each != itemsize(call, 0)), read, size * each, "vector", "fp32",
                note="tokens without a slot are skipped, which ones is data")  # fmt: skip


@op_cost("FusedRoPEFunc", source="NVIDIA/TransformerEngine: pytorch/attention/rope.py; apex/transformer")
def fused_rotary(call: OpCall) -> Cost:
    """x rotated by the cosines and sines of angles, or by given ones: (x, angles) or (x, cosines, sines)

    FLOPs = 3 an element, and a cosine and a sine an angle
    Bytes = x and angles read, the result written
    Assumes all of x is rotated.
    """
    angles = [i for i in (1, 2) if has(call, i) and is_floating(dtype(call, i))]
    computed = 2 * numel(shape(call, 1)) if len(angles) == 1 else 0
    read = bytes_read(call, 0) + sum(bytes_read(call, i) for i in angles)
    return Cost(3 * numel(shape(call, 0)) + computed, read, bytes_of(call, 0), "vector", "fp32",
                special_functions=computed)  # fmt: skip
