"""Operators of other packages: what their signatures say they read, write and compute, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.cost.calls import call_of
from traceanalyzer.cost import operator_class, price_call
from traceanalyzer.records import Bounded, Cost, Unpriced

BF16, FP8, FP32, INT8, INT32, INT64, UINT8 = (
    torch.bfloat16, torch.float8_e4m3fn, torch.float32, torch.int8, torch.int32, torch.int64, torch.uint8,
)  # fmt: skip
T, H, I, V, M, N, K = 100, 64, 96, 500, 32, 48, 128  # noqa: E741


def t(*dims: int, dtype: torch.dtype = BF16) -> torch.Tensor:
    return torch.empty(dims, dtype=dtype)


X, W = t(T, H), t(H)
POSITIONS = t(T, dtype=INT64)
SMALL = tuple(t(4, dtype=FP32) for _ in range(3))  # dt_bias, A and D of four heads
ROPE = 3 * (T * 512 + T * 64)

# (op, arguments, FLOPs, bytes read, bytes written)
CASES: list[tuple[str, tuple[Any, ...], int, int, int]] = [
    ("_C::rms_norm", (X, X, W, 1e-5), 4 * T * H, 2 * (T * H + H), 2 * T * H),
    ("_C::fused_add_rms_norm", (X, X, W, 1e-5), 5 * T * H, 2 * (2 * T * H + H), 4 * T * H),
    ("_C::rms_norm_dynamic_per_token_quant", (t(T, H, dtype=FP8), X, W, t(T, 1, dtype=FP32), 1e-5, None, X),
     6 * T * H, 2 * (2 * T * H + H), T * H + 4 * T + 2 * T * H),
    ("_C::silu_and_mul", (t(T, I), t(T, 2 * I)), 5 * T * I, 4 * T * I, 2 * T * I),
    ("_C::static_scaled_fp8_quant", (t(T, H, dtype=FP8), X, t(dtype=FP32)), T * H, 2 * T * H, T * H),
    ("_C::dynamic_per_token_scaled_fp8_quant", (t(T, H, dtype=FP8), X, t(T, 1, dtype=FP32), None),
     2 * T * H, 2 * T * H, T * H + 4 * T),
    ("_C::per_token_group_fp8_quant", (X, t(T, H, dtype=FP8), t(T, 2, dtype=FP32), 32),
     2 * T * H, 2 * T * H, T * H + 8 * T),
    ("_moe_C::topk_softmax",
     (t(T, 4, dtype=FP32), t(T, 4, dtype=INT32), t(T, 4, dtype=INT32), t(T, 16, dtype=FP32), False),
     5 * T * 16, 4 * T * 16, 3 * 4 * T * 4),
    ("_moe_C::moe_sum", (t(T, 4, H), X), 4 * T * H, 8 * T * H, 2 * T * H),
    ("sgl_kernel::fused_add_rmsnorm", (X, X, W, 1e-6, False), 5 * T * H, 2 * (2 * T * H + H), 4 * T * H),
    ("flashinfer::silu_and_mul", (t(T, I), t(T, 2 * I)), 5 * T * I, 4 * T * I, 2 * T * I),
    # heads of 64, all rotated: queries of 8 heads, keys of 1; a row of 64 cached values a position
    ("_C::rotary_embedding", (POSITIONS, t(T, 512), t(T, 64), 64, t(4096, 64), True),
     ROPE, 2 * T * 576 + 8 * T + 2 * T * 64, 2 * T * 576),
    # half of each head rotated
    ("_C::rotary_embedding", (POSITIONS, t(T, 512), t(T, 64), 64, t(4096, 32), True),
     ROPE // 2, T * 576 + 8 * T + 2 * T * 32, T * 576),
    ("sgl_kernel::apply_rope_pos_ids_cos_sin_cache",
     (t(T, 8, 64), t(T, 1, 64), t(T, 8, 64), t(T, 1, 64), t(4096, 64, dtype=FP32), POSITIONS, False, 0),
     ROPE, 2 * T * 576 + 4 * T * 64 + 8 * T, 2 * T * 576),
    ("_C_cache_ops::reshape_and_cache_flash",
     (t(T, 1, 64), t(T, 1, 64), t(10, 16, 1, 64, dtype=UINT8), t(10, 16, 1, 64, dtype=UINT8), POSITIONS),
     2 * T * 64, 2 * 2 * T * 64 + 8 * T, 2 * T * 64),
    # bitsandbytes: K x N weights in 4 bits, blocks of 64
    ("bitsandbytes::dequantize_4bit",
     (t(K * N // 2, 1, dtype=UINT8), t(K * N // 64, dtype=FP32), 64, "nf4", [N, K], 15),
     K * N, K * N // 2 + 4 * K * N // 64, 2 * K * N),
    ("bitsandbytes::quantize_4bit", (t(N, K), 64, "nf4", 0), 2 * K * N, 2 * K * N,
     K * N // 2 + 4 * K * N // 64),
    ("bitsandbytes::gemv_4bit",
     (t(1, 1, K), t(K * N // 2, 1, dtype=UINT8), [N, K], t(K * N // 64, dtype=FP32), t(16, dtype=FP32), 64),
     2 * K * N, 2 * K + K * N // 2 + 4 * K * N // 64 + 64, 2 * N),
    ("bitsandbytes::gemm_4bit",
     (t(M, K), t(K * N // 2, 1, dtype=UINT8), [N, K], t(K * N // 64, dtype=FP32), 64, "nf4", t(N)),
     2 * M * K * N, 2 * M * K + K * N // 2 + 4 * K * N // 64 + 2 * N, 2 * M * N),
    ("bitsandbytes::int8_linear_matmul", (t(M, K, dtype=INT8), t(N, K, dtype=INT8)), 2 * M * N * K,
     M * K + N * K, 4 * M * N),
    ("bitsandbytes::int8_scaled_mm",
     (t(M, K, dtype=INT8), t(N, K, dtype=INT8), t(M, dtype=FP32), t(N, dtype=FP32), t(N), 15),
     2 * M * N * K, M * K + N * K + 4 * (M + N) + 2 * N, 2 * M * N),
    ("bitsandbytes::int8_vectorwise_quant", (t(M, K), 0.0), 2 * M * K, 2 * M * K, M * K + 4 * M),
    ("bitsandbytes::int8_mm_dequant", (t(M, N, dtype=INT32), t(M, dtype=FP32), t(N, dtype=FP32), 5, None),
     2 * M * N, 4 * M * N + 4 * (M + N), 2 * M * N),
    ("bitsandbytes::optimizer_update_32bit",
     ("adam", X, X, t(T, H, dtype=FP32), t(T, H, dtype=FP32), None), 14 * T * H, 12 * T * H, 10 * T * H),
    ("bitsandbytes::optimizer_update_8bit_blockwise",
     ("adam", X, X, t(T, H, dtype=UINT8), t(T, H, dtype=UINT8), 0.9, 0.99, 0.0, 0.0, 1e-8, 3, 1e-3,
      t(256, dtype=FP32), t(256, dtype=FP32), t(25, dtype=FP32), t(25, dtype=FP32), 0.0),
     14 * T * H, 6 * T * H + 2 * 1024 + 2 * 100, 4 * T * H + 2 * 100),
    ("trtllm::cublas_mm", (t(M, K), t(K, N), None, None), 2 * M * N * K, 2 * (M * K + K * N), 2 * M * N),
    ("trtllm::fp8_block_scaling_gemm",
     (t(M, K, dtype=FP8), t(N, K, dtype=FP8), t(1, M, dtype=FP32), t(1, 1, dtype=FP32)),
     2 * M * N * K, M * K + N * K + 4 * M + 4, 2 * M * N),
    ("trtllm::cublas_fp4_scaled_mm",
     (t(M, K // 2, dtype=UINT8), t(N, K // 2, dtype=UINT8), t(M * K // 16, dtype=UINT8),
      t(N * K // 16, dtype=UINT8), t(1, dtype=FP32), t(1, dtype=FP32)),
     2 * M * N * K, (M + N) * (K // 2 + K // 16) + 8, 2 * M * N),
    ("aiter::_groupnorm_run", (t(2, H, 4, 4), 8, W, W, 1e-6), 7 * 32 * H, 2 * (32 * H + 2 * H), 2 * 32 * H),
    ("FusedLayerNormAffineFunction", (t(T, 4, H), W, W), 7 * 4 * T * H, 2 * (4 * T * H + 2 * H),
     2 * 4 * T * H + 8 * 4 * T),
    ("FusedRMSNormAffineFunction", (X, W), 4 * T * H, 2 * (T * H + H), 2 * T * H + 4 * T),
    ("ScaledMaskedSoftmax", (t(2, 4, H, H), t(2, 1, H, H, dtype=torch.bool)), 5 * 8 * H * H,
     2 * 8 * H * H + 2 * H * H, 2 * 8 * H * H),
    ("ScaledUpperTriangMaskedSoftmax", (t(8, H, H),), 5 * 8 * H * (H + 1) // 2, 2 * 8 * H * (H + 1) // 2,
     2 * 8 * H * H),
    ("LigerRMSNormFunction", (X, W), 4 * T * H, 2 * (T * H + H), 2 * T * H + 4 * T),
    ("LigerSiLUMulFunction", (X, X), 5 * T * H, 4 * T * H, 2 * T * H),
    ("LigerCrossEntropyFunction", (t(T, V), POSITIONS), 6 * T * V, 2 * T * V + 8 * T, 2 * T * V),
    ("fbgemm::permute_pooled_embs_auto_grad",
     (t(T, V, dtype=FP32), t(8, dtype=INT64), t(7, dtype=INT64), t(8, dtype=INT64), t(7, dtype=INT64)),
     0, 4 * T * V + 8 * 15, 4 * T * V),
    ("fbgemm::asynchronous_complete_cumsum", (t(T, dtype=INT32),), T, 4 * T, 4 * T),
    ("_C::cutlass_scaled_mm",
     (t(M, N), t(M, K, dtype=FP8), t(K, N, dtype=FP8), t(M, 1, dtype=FP32), t(1, N, dtype=FP32), t(N)),
     2 * M * N * K, M * K + K * N + 4 * M + 4 * N + 2 * N, 2 * M * N),
    ("_C::cutlass_scaled_fp4_mm",
     (t(M, N), t(M, K // 2, dtype=UINT8), t(N, K // 2, dtype=UINT8), t(M, K // 16, dtype=FP8),
      t(N, K // 16, dtype=FP8), t(dtype=FP32)),
     2 * M * N * K, (M + N) * (K // 2 + K // 16), 2 * M * N),
    ("sgl_kernel::fp8_scaled_mm",
     (t(M, K, dtype=FP8), t(K, N, dtype=FP8), t(M, dtype=FP32), t(N, dtype=FP32), 6, None),  # 6: float32
     2 * M * N * K, M * K + K * N + 4 * (M + N), 4 * M * N),
    ("fbgemm::f8f8bf16_rowwise",
     (t(M, K, dtype=FP8), t(N, K, dtype=FP8), t(M, dtype=FP32), t(N, dtype=FP32)),
     2 * M * N * K, M * K + K * N + 4 * (M + N), 2 * M * N),
    ("aiter::gemm_a8w8_CK", (t(M, K, dtype=FP8), t(N, K, dtype=FP8), t(M, 1, dtype=FP32), t(1, N, dtype=FP32),
                             t(M, N)), 2 * M * N * K, M * K + K * N + 4 * (M + N), 2 * M * N),
    ("vllm::rocm_unquantized_gemm", (t(M, K), t(N, K), None), 2 * M * N * K, 2 * (M * K + K * N), 2 * M * N),
    # 4 bits: 8 weights an integer, whichever way they are laid out
    ("_C::gptq_marlin_gemm",
     (t(M, K), None, t(K // 16, N * 2, dtype=INT32), None, t(K // 64, N), None, None),
     2 * M * N * K, 2 * M * K + K * N // 2 + 2 * (K // 64) * N, 2 * M * N),
    ("_C::awq_gemm", (t(M, K), t(K, N // 8, dtype=INT32), t(K // 64, N), t(K // 64, N // 8, dtype=INT32), 8),
     2 * M * N * K, 2 * M * K + K * N // 2 + 2 * (K // 64) * N + 4 * (K // 64) * N // 8, 2 * M * N),
    # aiter's wrappers of its kernels, causal; the second of a version with a smallest length and a cap
    *[(f"aiter::{name}", (t(1, M, 8, H), t(1, M, 2, H), t(1, M, 2, H), 0.0, 0.1, True, -1, -1),
       4 * 8 * H * (M * (M + 1) // 2), 2 * M * 12 * H, 2 * M * 8 * H + 4 * 8 * M)
      for name in ("_flash_attn_forward", "wrapper_fmha_v3_fwd")],
    *[("aiter::wrapper_fmha_v3_varlen_fwd",
       (*[t(M, 8, H)] * 3, t(2, dtype=INT32), t(2, dtype=INT32), M, M, *older, False, True, -1, -1),
       4 * 8 * H * (M * (M + 1) // 2), 2 * M * 24 * H, 2 * M * 8 * H + 4 * 8 * M)
      for older in ((0.0, 0.1), (0, 0.0, 0.1, 0.0))],
    ("aiter::_flash_attn_backward",
     (*[t(1, M, 8, H)] * 5, t(1, 8, M, dtype=FP32), *[t(1, M, 8, H)] * 3, None, 0.0, 0.1, True, -1, -1),
     2 * 8 * 5 * H * (M * (M + 1) // 2), 5 * 2 * M * 8 * H + 4 * 8 * M, 3 * 2 * M * 8 * H),
    ("EvoformerFusedAttention", (*[t(1, 5, M, 4, H)] * 3, t(1, 5, 1, 1, M), t(1, 1, 4, M, M)),
     4 * 5 * 4 * M * M * H, 2 * (3 * 5 * M * 4 * H + 5 * M + 4 * M * M), 5 * M * 4 * (2 * H + 4)),
    # two 4-bit values a byte, a scale for 32 of them; what is given last is the result
    ("aiter::gemm_a4w4", (t(M, K // 2, dtype=UINT8), t(N, K // 2, dtype=UINT8), t(M, K // 32, dtype=UINT8),
                          t(N, K // 32, dtype=UINT8), t(M, N)),
     2 * M * N * K, (M + N) * (K // 2 + K // 32), 2 * M * N),
    ("vllm::gemm_with_dynamic_quant", (t(M, K), t(N, K // 2, dtype=UINT8), t(N, K // 32, dtype=UINT8), False),
     2 * M * N * K, 2 * M * K + N * (K // 2 + K // 32), 2 * M * N),
    ("primus_turbo::gemm_fp8_impl",
     (t(M, K, dtype=FP8), t(1, dtype=FP32), False, t(N, K, dtype=FP8), t(1, dtype=FP32), True, "15", False),
     2 * M * N * K, M * K + N * K + 8, 2 * M * N),
    # gradients of the weights of four groups
    ("primus_turbo::grouped_gemm_variable_k_impl",
     (t(M, K), t(M, N), t(4, dtype=INT64), t(4, dtype=INT64), True, False, False, None, 0),
     2 * M * N * K, 2 * M * (K + N) + 64, 2 * 4 * K * N),
    ("primus_turbo::grouped_gemm_fp8_variable_k_impl",
     (t(M, K, dtype=FP8), t(M, N, dtype=FP8), t(1, dtype=FP32), t(1, dtype=FP32), t(4, dtype=INT64),
      t(4, dtype=INT64), True, False, False, "15", 1),
     2 * M * N * K, M * (K + N) + 8 + 64, 2 * 4 * K * N),
    # W [n, k] transposed times X [m, k]; before the numbers of tensors were arguments
    ("tex_ts::te_gemm_ts", (t(N, K, dtype=UINT8), t(1, dtype=FP32), 0, 4, 1, t(M, K, dtype=UINT8),
                            t(1, dtype=FP32), 0, 4, 0, t(M, N), None, 6, None, t(0), 6, t(0), 0),
     2 * M * N * K, N * K + M * K + 8, 2 * M * N),
    ("tex_ts::te_gemm_ts", (t(N, K, dtype=UINT8), t(1, dtype=FP32), 0, 4, 1, t(M, K, dtype=UINT8),
                            t(1, dtype=FP32), 0, 4, 0, t(M, N), t(1, dtype=FP32), 6, t(1, dtype=FP32), t(N),
                            6, t(0), 0),
     2 * M * N * K, N * K + M * K + 8 + 2 * N, 2 * M * N),
    ("tex_ts::te_gemm_ts", (t(N, K), t(0), 6, 1, t(M, K), t(0), 6, 0, t(M, N), 6, t(N), t(0), 0),
     2 * M * N * K, 2 * (N * K + M * K + N), 2 * M * N),
    # four taps, with SiLU
    ("DaoAILab::_causal_conv1d_fwd_cpp", (t(2, H, T), t(H, 4), t(H), None, None, t(2, H, T), None, True),
     2 * H * T * 12, 2 * (2 * H * T + 5 * H), 2 * 2 * H * T),
    ("DaoAILab::_causal_conv1d_bwd_cpp",
     (t(2, H, T), t(H, 4), t(H), t(2, H, T), None, None, None, t(2, H, T), t(H, 4, dtype=FP32),
      t(H, dtype=FP32), None, False),
     2 * H * T * 16, 2 * (4 * H * T + 5 * H), 2 * 2 * H * T + 4 * 5 * H),
    ("DaoAILab::_causal_conv1d_update_cpp", (t(2, H), t(9, H, 4), t(H, 4), t(H), t(2, H), False, None, None),
     2 * H * 8, 2 * (2 * H + 5 * H + 2 * H * 4), 2 * (2 * H + 2 * H * 4)),
    # Scans of 100 steps in chunks of 64 and 36, 2 sequences: 2 * (2080 + 666) = 5,492 pairs; 4 heads of 32,
    # 16 states. With a gate and a norm, out projection and convolution beside; without; and one step a time.
    ("MambaSplitConv1dScanCombinedFn",
     (t(2, T, 292), t(160, 4), t(160), *SMALL, 64, None, None, False, None, t(128), 1e-6, t(64, 128), None,
      32, 1, False),
     2 * 5492 * (16 + 128) + 4 * 25_600 * 16 + 2 * 4 * 128 * 16 + 25_600 * 11,
     2 * (200 * 292 + 128) + 3 * 16, 2 * 200 * 256),
    ("MambaChunkScanCombinedFn",
     (t(2, T, 4, 32), t(2, T, 4), t(4), t(2, T, 1, 16), t(2, T, 1, 16), 64, t(4), t(2, T, 4, 32), t(4), None,
      None, True, False),
     2 * 5492 * (16 + 128) + 4 * 25_600 * 16 + 2 * 4 * 128 * 16 + 25_600 * 7,
     2 * (2 * 25_600 + 800 + 2 * 3200 + 12), 2 * 2 * 25_600),
    ("SelectiveScanFn",
     (t(2, H, T), t(2, H, T), t(H, 16, dtype=FP32), t(2, 16, T), t(2, 16, T), t(H, dtype=FP32), t(2, H, T),
      t(H, dtype=FP32), True, False),
     12_800 * (6 * 16 + 7), 2 * (3 * 12_800 + 2 * 3200) + 4 * (16 * H + 2 * H), 2 * 2 * 12_800),
    # 500 indices of 6 features and 10 samples, and their weights
    *[(f"fbgemm::{name}", (t(6, dtype=INT32), t(6, 10, dtype=INT32), t(500, dtype=INT64), t(500, dtype=FP32)),
       0, 24 + 240 + 6000, 240 + 6000) for name in ("permute_sparse_features", "permute_2D_sparse_data")],
    # an angle for each place in the sequence
    ("FusedRoPEFunc", (t(T, 2, 8, H), t(T, 1, 1, H, dtype=FP32)),
     3 * T * 16 * H + 2 * T * H, 2 * T * 16 * H + 4 * T * H, 2 * T * 16 * H),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "flops", "read", "written"), CASES,
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])  # fmt: skip
def test_work_by_the_signature(
    name: str, arguments: tuple[Any, ...], flops: int, read: int, written: int
) -> None:
    cost = price_call(call_of(name, *arguments))
    assert isinstance(cost, Cost), cost
    assert (cost.flops, cost.read_bytes, cost.write_bytes) == (flops, read, written)


# (op, arguments, FLOPs, bytes read and written at least, at most): how many groups have rows is data
LENGTHS = t(4, dtype=INT64)
ONE_GROUP = 2 * (M * K + K * N + M * N) + 2 * 8 * 4
RANGES: list[tuple[str, tuple[Any, ...], int, int, int]] = [
    # two experts at the least, of eight; each token to two of them
    ("vllm::outplace_fused_experts",
     (t(4, H), t(8, 2 * I, H), t(8, H, I), t(4, 2, dtype=FP32), t(4, 2, dtype=INT32)),
     2 * 4 * 2 * 3 * I * H, 4 * 4 * H + 2 * 2 * 3 * I * H + 4 * 16, 4 * 4 * H + 8 * 2 * 3 * I * H + 4 * 16),
    ("aten::_grouped_mm", (t(M, K), t(4, K, N), t(4, dtype=INT32)),
     2 * M * N * K, 2 * (M * K + K * N + M * N) + 4 * 4, 2 * (M * K + 4 * K * N + M * N) + 4 * 4),
    # two rows are of two groups at most
    ("aten::_grouped_mm", (t(2, K), t(4, K, N), t(4, dtype=INT32)),
     2 * 2 * N * K, 2 * (2 * K + K * N + 2 * N) + 4 * 4, 2 * (2 * K + 2 * K * N + 2 * N) + 4 * 4),
    ("primus_turbo::grouped_gemm_impl", (t(M, K), t(4, N, K), LENGTHS, LENGTHS, False, True, None, 0),
     2 * M * N * K, ONE_GROUP, ONE_GROUP + 2 * 3 * K * N),
    ("primus_turbo_cpp_extension::ck_grouped_gemm", (t(M, K), t(4, K, N), LENGTHS, LENGTHS, False, False),
     2 * M * N * K, ONE_GROUP, ONE_GROUP + 2 * 3 * K * N),
    ("primus_turbo::grouped_gemm_fp8_impl",
     (t(M, K, dtype=FP8), t(4, K, N, dtype=FP8), t(1, dtype=FP32), t(1, dtype=FP32), LENGTHS, LENGTHS,
      False, False, "15", 1),
     2 * M * N * K, M * K + K * N + 2 * M * N + 8 + 64, M * K + 4 * K * N + 2 * M * N + 8 + 64),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "flops", "least", "most"), RANGES,
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(RANGES)])  # fmt: skip
def test_work_between_two_ends(
    name: str, arguments: tuple[Any, ...], flops: int, least: int, most: int
) -> None:
    cost = price_call(call_of(name, *arguments))
    assert isinstance(cost, Bounded) and cost.reason == "data_dependent" and cost.detail
    assert cost.least.flops == cost.most.flops == flops
    assert (cost.least.bytes, cost.most.bytes) == (least, most)


@pytest.mark.parametrize(("name", "type_of_sums", "narrow", "wide"), [
    ("fbgemm::split_embedding_codegen_lookup_sgd_function", "0", 4, 4),
    ("fbgemm::split_embedding_codegen_lookup_sgd_function", "1", 2, 2),
    ("fbgemm::split_embedding_codegen_lookup_approx_sgd_function", "5", 2, 2),
    ("fbgemm::split_embedding_codegen_lookup_sgd_function", None, 2, 4),
    ("fbgemm::split_embedding_codegen_lookup_rowwise_adagrad_function", "0", 2, 4),
])  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("taken", "rows"), [(100, 300), (2, 32)])
def test_sums_of_rows_of_tables(
    taken: int, rows: int, weighted: bool, name: str, type_of_sums: str | None, narrow: int, wide: int
) -> None:
    """Indices into two tables of 300 elements together, 8 and 16 wide, for 10 samples of 24 sums each.

    Behind them gradient clipping, its limit, rounding and the learning rate, then the type of the sums.
    """
    weights = t(taken, dtype=FP32) if weighted else None
    arguments: tuple[Any, ...] = (
        t(0, dtype=FP32), t(300, dtype=FP32), t(0, dtype=FP32), t(0, 0, dtype=FP32), t(2, dtype=INT32),
        t(2, dtype=INT64), t(3, dtype=INT32), 24, 16, t(3, dtype=INT64), 9, t(taken, dtype=INT64),
        t(21, dtype=INT64), 0, weights, None, t(0, dtype=INT32), False, 1.0, True, 0.1, type_of_sums,
    )  # fmt: skip
    cost = price_call(call_of(name, *arguments))
    assert isinstance(cost, Bounded) and cost.reason == "data_dependent"
    an_element = 2 if weighted else 1  # a multiplication and an addition
    assert (cost.least.flops, cost.most.flops) == (an_element * taken, an_element * taken * 16)
    read = 8 * taken + 4 * 3 + 8 * 21 + (4 * taken if weighted else 0)
    assert (cost.least.read_bytes, cost.most.read_bytes) == (read + 4, read + 4 * rows)
    assert (cost.least.write_bytes, cost.most.write_bytes) == (narrow * 240, wide * 240)


def test_of_one_token_the_experts_are_as_many_as_it_has() -> None:
    some = (t(1, H), t(8, 2 * I, H), t(8, H, I), t(1, 2, dtype=FP32), t(1, 2, dtype=INT32))
    one = price_call(call_of("vllm::outplace_fused_experts", *some))
    assert isinstance(one, Cost) and one.read_bytes == 2 * H + 2 * 2 * 3 * I * H + 16


def test_a_function_of_the_package_does_not_say_whether_it_is_causal() -> None:
    q = t(1, M, 8, H)
    known = price_call(call_of("FlashAttnFunc", q, q, q, 0.0, None, True, (-1, -1)))
    assert isinstance(known, Cost) and known.flops == 4 * 8 * H * (M * (M + 1) // 2)
    window = price_call(call_of("FlashAttnFunc", q, q, q, 0.0, None, False, (0, 0)))
    assert isinstance(window, Cost) and window.flops == 4 * 8 * H * M
    unknown = price_call(call_of("FlashAttnFunc", q, q, q))
    assert isinstance(unknown, Bounded) and unknown.most.flops == 4 * 8 * H * M * M
    assert unknown.least.flops == 4 * 8 * H * M, "each query sees a key"


def test_of_an_unknown_number_of_positions_none_or_all_are_written() -> None:
    found = price_call(call_of("aten::nonzero", t(M, K, dtype=FP32)))
    assert isinstance(found, Bounded) and found.least.bytes == 4 * M * K
    assert found.most.bytes == 4 * M * K + 2 * 8 * M * K, "two coordinates each"


def test_features_that_come_out_twice_or_not_at_all_are_data() -> None:
    call = call_of("fbgemm::permute_sparse_features", t(7, dtype=INT32), t(6, 10, dtype=INT32), t(500), None)
    cost = price_call(call)
    assert isinstance(cost, Unpriced) and cost.reason == "data_dependent"


def test_weights_that_are_neither_four_nor_eight_bits_are_refused() -> None:
    cost = price_call(call_of("_C::awq_gemm", t(M, K), t(K, N // 2, dtype=INT32), t(2, N), None, 8))
    assert isinstance(cost, Unpriced) and cost.reason == "no_formula"


@pytest.mark.parametrize("name", ["vllm::moe_forward", "_C_cache_ops::copy_blocks", "aiter::paged_attention",
                                  "fbgemm::split_embedding_backward_codegen_adam"])  # fmt: skip
def test_what_data_decides_is_said(name: str) -> None:
    cost = price_call(call_of(name, X, X))
    assert isinstance(cost, Unpriced) and cost.reason == "data_dependent" and cost.detail


def test_paged_attention_has_a_floor_of_bytes() -> None:
    q, new = t(T, 8, 64), t(T, 1, 64)
    cost = price_call(call_of("vllm::unified_attention_with_output", q, new, new, q, "layer.0", None, None))
    assert isinstance(cost, Unpriced) and cost.reason == "data_dependent"
    assert (cost.read_bytes, cost.write_bytes) == (2 * T * 512, 2 * T * 512)


def test_products_of_packages_are_contractions() -> None:
    for name in ("_C::cutlass_scaled_mm", "sgl_kernel::fp8_scaled_mm", "fbgemm::f8f8bf16_rowwise",
                 "_C::gptq_marlin_gemm", "vllm::outplace_fused_experts", "aiter::mha_fwd",
                 "flash_attn_3::fwd", "vllm::rocm_unquantized_gemm"):  # fmt: skip
        assert operator_class(name, None) == "tensor_contraction", name
    for name in ("_C::rms_norm", "sgl_kernel::fused_add_rmsnorm", "ScaledMaskedSoftmax",
                 "_moe_C::topk_softmax", "FusedLayerNormAffineFunction", "LigerRMSNormFunction",
                 "LigerCrossEntropyFunction"):  # fmt: skip
        assert operator_class(name, None) == "statistical_normalization", name
    for name in ("_C::silu_and_mul", "_C::rotary_embedding", "_C::static_scaled_fp8_quant",
                 "LigerSiLUMulFunction", "fbgemm::permute_pooled_embs"):  # fmt: skip
        assert operator_class(name, None) == "element_wise", name
