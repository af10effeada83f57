"""Operators that a CPU cannot run, and FLOPs that torch does not count: worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.cost.calls import call_of
from traceanalyzer.cost import price_call
from traceanalyzer.records import Cost

BF16, FP8, FP32, INT8, INT16, INT32, INT64, UINT8, BOOL = (
    torch.bfloat16, torch.float8_e4m3fn, torch.float32, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.uint8, torch.bool,
)  # fmt: skip
M, N, K = 32, 48, 128
T, B, I, H = 5, 3, 20, 16  # steps, batch, input and hidden width # noqa: E741


def t(*dims: int, dtype: torch.dtype = FP32) -> torch.Tensor:
    return torch.empty(dims, dtype=dtype)


LSTM = [t(4 * H, I), t(4 * H, H), t(4 * H), t(4 * H)]
PARAMETERS = 4 * H * (I + H + 2)
MATRICES = 4 * H * (I + H)
X, STATE, OUT = t(T, B, I), t(1, B, H), t(T, B, H)
RUN: tuple[Any, ...] = (
    2,
    H,
    0,
    1,
    "False",
    "0.",
    "True",
    "False",
    [],
    None,
)  # LSTM, one layer, one direction
P, G = [t(6, 7), t(5)], [t(6, 7), t(5)]
ELEMENTS = 6 * 7 + 5
IMAGE = t(2, 4, 6, 6)
PIXELS = 2 * 4 * 6 * 6

# (op, arguments, FLOPs, bytes read, bytes written)
CASES: list[tuple[str, tuple[Any, ...], int, int, int]] = [
    # products with fewer bits
    ("aten::_int_mm", (t(M, K, dtype=INT8), t(K, N, dtype=INT8)), 2 * M * N * K, M * K + K * N, 4 * M * N),
    ("aten::_weight_int8pack_mm", (t(M, K, dtype=BF16), t(N, K, dtype=INT8), t(N, dtype=BF16)),
     2 * M * N * K, 2 * M * K + N * K + 2 * N, 2 * M * N),
    ("aten::_weight_int4pack_mm",
     (t(M, K, dtype=BF16), t(N // 8, K // 128, 32, 4, dtype=INT32), 32, t(K // 32, N, 2, dtype=BF16)),
     2 * M * N * K, 2 * M * K + K * N // 2 + K // 32 * N * 2 * 2, 2 * M * N),
    ("aten::_weight_int4pack_mm_for_cpu",
     (t(M, K, dtype=BF16), t(N, K // 2, dtype=UINT8), 32, t(K // 32, N, 2, dtype=BF16)),
     2 * M * N * K, 2 * M * K + K * N // 2 + K // 32 * N * 2 * 2, 2 * M * N),
    ("aten::_dyn_quant_matmul_4bit", (t(M, K), t(K * N // 2 + 4 * N, dtype=UINT8), K, K, N),
     2 * M * N * K, 4 * M * K + K * N // 2 + 4 * N, 4 * M * N),
    ("aten::_mixed_dtypes_linear", (t(M, K, dtype=BF16), t(K, N, dtype=UINT8), t(N, dtype=BF16)),
     2 * M * N * K, 2 * M * K + K * N + 2 * N, 2 * M * N),
    # the gradient of the weights of four experts
    ("aten::_grouped_mm", (t(M, K, dtype=BF16), t(K, N, dtype=BF16), t(4, dtype=INT32)), 2 * M * N * K,
     2 * (M * K + K * N) + 4 * 4, 2 * 4 * M * N),
    # two of four kept: half of the products
    ("aten::_sparse_semi_structured_mm",
     (t(M, K // 2, dtype=BF16), t(M, K // 16, dtype=INT16), t(K, N, dtype=BF16), None),
     M * N * K, M * K + 2 * M * K // 16 + 2 * K * N, 2 * M * N),
    ("aten::_sparse_semi_structured_addmm",
     (t(M, dtype=BF16), t(M, K // 2, dtype=BF16), t(M, K // 16, dtype=INT16), t(K, N, dtype=BF16)),
     M * N * K, 2 * M + M * K + 2 * M * K // 16 + 2 * K * N, 2 * M * N),
    ("aten::_sparse_semi_structured_linear",
     (t(M, K, dtype=BF16), t(N, K // 2, dtype=BF16), t(N, K // 16, dtype=INT16), t(N, dtype=BF16)),
     M * N * K, 2 * M * K + N * K + 2 * N * K // 16 + 2 * N, 2 * M * N),
    ("aten::_cslt_sparse_mm", (t(M * K * 9 // 16, dtype=BF16), t(K, N, dtype=BF16)),
     M * N * K, 2 * M * K * 9 // 16 + 2 * K * N, 2 * M * N),
    ("aten::_cslt_compress", (t(M, K, dtype=BF16),), 0, 2 * M * K, 2 * M * K * 9 // 16),
    ("aten::_sparse_semi_structured_tile", (t(M, K, dtype=BF16), "", "True"), M * K, 2 * M * K,
     2 * M * K + 2 * M * K // 4),
    # recurrent networks
    ("aten::_cudnn_rnn", (X, LSTM, 4, None, STATE, STATE, *RUN), 2 * T * B * MATRICES,
     4 * (T * B * I + PARAMETERS + 2 * B * H), 4 * (T * B * H + 2 * B * H)),
    ("aten::miopen_rnn", (X, LSTM, 4, STATE, STATE, 2, H, 1, "False", "0.", "True", "False", [], None),
     2 * T * B * MATRICES, 4 * (T * B * I + PARAMETERS + 2 * B * H), 4 * (T * B * H + 2 * B * H)),
    ("aten::_cudnn_rnn_backward",
     (X, LSTM, 4, t(PARAMETERS), STATE, STATE, OUT, OUT, None, None, *RUN, t(1, dtype=UINT8), [True] * 4),
     4 * T * B * MATRICES, 4 * (T * B * I + PARAMETERS + 2 * B * H + 2 * T * B * H),
     4 * (T * B * I + 2 * B * H + PARAMETERS)),
    ("aten::mkldnn_rnn_layer", (X, *LSTM, STATE, STATE, "False", [], 2, H, 1, "True", "False", "False",
     "True"),
     2 * T * B * MATRICES, 4 * (T * B * I + PARAMETERS + 2 * B * H), 4 * (T * B * H + 2 * B * H)),
    ("aten::mkldnn_rnn_layer_backward", (X, *LSTM, STATE, STATE, OUT, STATE, STATE, OUT, None, None),
     4 * T * B * MATRICES, 4 * (T * B * I + PARAMETERS + 4 * B * H + 2 * T * B * H),
     4 * (T * B * I + PARAMETERS + 2 * B * H)),
    ("aten::lstm", (X, [STATE, STATE], LSTM, "True", 1, "0.", "True", "False", "False"), 2 * T * B * MATRICES,
     4 * (T * B * I + PARAMETERS), 4 * T * B * H),
    ("aten::_thnn_fused_lstm_cell", (t(B, 4 * H), t(B, 4 * H), t(B, H), t(4 * H), t(4 * H)), 3 * B * 4 * H,
     4 * (2 * B * 4 * H + B * H + 2 * 4 * H), 4 * (2 * B * H + B * 4 * H)),
    ("aten::_thnn_fused_gru_cell", (t(B, 3 * H), t(B, 3 * H), t(B, H)), 3 * B * 3 * H,
     4 * (2 * B * 3 * H + B * H), 4 * (B * H + 5 * B * H)),
    ("aten::_thnn_fused_lstm_cell_backward_impl",
     (t(B, H), t(B, H), t(B, H), t(B, H), t(B, 4 * H), "True"), 4 * B * 4 * H,
     4 * (4 * B * H + B * 4 * H), 4 * (B * 4 * H + B * H)),
    ("aten::_thnn_fused_gru_cell_backward", (t(B, H), t(B, 5 * H), "True"), 12 * B * H,
     4 * 6 * B * H, 4 * (2 * B * 3 * H + B * H)),
    # optimizers and loss scales
    ("aten::_fused_sgd_", (P, G, P, "0.", "0.9", "0.1", "0.", "False", "False", "False"), 4 * ELEMENTS,
     4 * 3 * ELEMENTS, 4 * 2 * ELEMENTS),
    ("aten::_fused_adagrad_", (P, G, P, [t(1), t(1)], "0.1"), 6 * ELEMENTS, 4 * 3 * ELEMENTS,
     4 * 2 * ELEMENTS),
    ("aten::_amp_foreach_non_finite_check_and_unscale_", (G, t(1), t(1)), 2 * ELEMENTS, 4 * ELEMENTS,
     4 * ELEMENTS),
    ("aten::_amp_update_scale_", (t(1), t(1, dtype=INT32), t(1), "2.", "0.5", 2000), 1, 12, 8),
    ("aten::_foreach_copy_", (P, G, "False"), 0, 4 * ELEMENTS, 4 * ELEMENTS),
    # norms
    ("aten::_fused_rms_norm", (t(M, K, dtype=BF16), [K], t(K, dtype=BF16), "1e-5"), 4 * M * K,
     2 * (M * K + K), 2 * M * K + 4 * M),
    ("aten::_fused_rms_norm_backward",
     (t(M, K, dtype=BF16), t(M, K, dtype=BF16), [K], t(M, 1), t(K, dtype=BF16), [True, True]), 11 * M * K,
     2 * (2 * M * K + K) + 4 * M, 2 * (M * K + K)),
    ("aten::batch_norm_stats", (IMAGE, "1e-5"), 3 * PIXELS, 4 * PIXELS, 8 * 4),
    ("aten::batch_norm_elemt", (IMAGE, t(4), t(4), t(4), t(4), "1e-5"), 4 * PIXELS, 4 * (PIXELS + 16),
     4 * PIXELS),
    # one kernel where the CPU has several
    ("aten::softmax", (t(M, K), -1, None), 4 * M * K, 4 * M * K, 4 * M * K),
    ("aten::layer_norm", (t(M, K), [K], t(K), t(K), "1e-5", "True"), 7 * M * K, 4 * (M * K + 2 * K),
     4 * M * K),
    ("aten::max_pool2d", (IMAGE, [2, 2], [2, 2], [0, 0], [1, 1], "False"), PIXELS, 4 * PIXELS, PIXELS),
    ("aten::scaled_dot_product_attention", (t(2, 4, M, 8), t(2, 4, M, 8), t(2, 4, M, 8), None, "0.", "False"),
     2 * 8 * M * M * 16, 3 * 4 * 8 * M * 8, 4 * 8 * M * 8 + 4 * 8 * M),  # and the logarithm of each sum
    ("aten::gather_backward", (t(M, 5), t(M, K), 1, t(M, 5, dtype=INT64), "False"), M * 5,
     4 * M * 5 + 4 * M * K + 8 * M * 5, 4 * M * 5),
    # convolutions, one gradient an operator
    ("aten::cudnn_convolution_backward_weight",
     ([8, 4, 3, 3], t(2, 8, 6, 6), IMAGE, [1, 1], [1, 1], [1, 1], 1, "False", "False", "True"),
     2 * 2 * 36 * 8 * 4 * 9, 4 * (2 * 8 * 36 + PIXELS), 4 * 8 * 4 * 9),
    ("aten::_slow_conv2d_backward",
     (t(2, 8, 6, 6), IMAGE, t(8, 4, 3, 3), [3, 3], [1, 1], [1, 1], [True, True, True]),
     2 * (2 * 2 * 36 * 8 * 4 * 9) + 2 * 36 * 8, 4 * (2 * 8 * 36 + PIXELS + 288), 4 * (PIXELS + 288 + 8)),
    # rows of bags: 6 indices in 3 bags, a table of 50 rows
    ("aten::_embedding_bag_dense_backward",
     (t(3, 8), t(6, dtype=INT64), t(6, dtype=INT64), t(3, dtype=INT64), t(3, dtype=INT64), 50, "False",
     0, None),
     48, 4 * 24 + 8 * 6 + 8 * 6 + 8 * 3 + 4 * 48, 4 * 400 + 4 * 48),
    ("aten::index", (t(50, 8), [t(6, dtype=INT64)]), 0, 4 * 48 + 8 * 6, 4 * 48),
    # quantization
    ("aten::fake_quantize_per_tensor_affine_cachemask", (t(M, K), "0.1", 0, 0, 255), 4 * M * K, 4 * M * K,
     5 * M * K),
    ("aten::_fake_quantize_learnable_per_tensor_affine", (t(M, K), t(1), t(1), 0, 255, "1."), 4 * M * K,
     4 * M * K + 8, 4 * M * K),
    ("aten::_fake_quantize_learnable_per_tensor_affine_backward",
     (t(M, K), t(M, K), t(1), t(1), 0, 255, "1."), 10 * M * K, 8 * M * K + 8, 12 * M * K),
    ("aten::_transform_bias_rescale_qkv", (t(B, T, 3 * H), t(3 * H), 4), 4 * B * T * H,
     4 * 3 * H * (B * T + 1),
     4 * 3 * B * T * H),
    # LAPACK Working Note 41; [6, 6], 3 right-hand sides; [8, 4]; FFTW's count
    ("aten::linalg_cholesky_ex", (t(6, 6), "False", "False"), 72, 4 * 36, 4 * 36 + 4),
    ("aten::linalg_lu_factor_ex", (t(6, 6), "True", "False"), 144, 4 * 36, 4 * 36 + 4 * 7),
    ("aten::linalg_inv_ex", (t(6, 6), "False"), 432, 4 * 36, 4 * 36 + 4),
    ("aten::_linalg_solve_ex", (t(6, 6), t(6, 3), "True", "False"), 144 + 216, 4 * 54, 4 * 54 + 4 * 7),
    ("aten::linalg_solve_triangular", (t(6, 6), t(6, 3), "True", "True", "False"), 108, 4 * 54, 4 * 18),
    ("aten::geqrf", (t(9, 3),), 2 * 9 * 9 - 18, 4 * 27, 4 * 30),
    ("aten::linalg_qr", (t(9, 3), "reduced"), 2 * (2 * 9 * 9 - 18), 4 * 27, 4 * (27 + 9)),
    ("aten::_fft_r2c", (t(64), [0], 0, "True"), 960, 4 * 64, 8 * 33),
    ("aten::_fft_c2c", (t(8, 8, dtype=torch.complex64), [0, 1], 0, "True"), 1920, 8 * 64, 8 * 64),
    ("aten::_cdist_forward", (t(5, 8), t(7, 8), "2.", None), 3 * 5 * 7 * 8, 4 * (40 + 56), 4 * 35),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "flops", "read", "written"), CASES,
                         ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])  # fmt: skip
def test_by_hand(name: str, arguments: tuple[Any, ...], flops: int, read: int, written: int) -> None:
    cost = price_call(call_of(name, *arguments))
    assert isinstance(cost, Cost), cost
    assert (cost.flops, cost.read_bytes, cost.write_bytes) == (flops, read, written)
