"""Operator classes: by hand for ops and kernels that matter, and a list over every ATen name.

After a change that is meant, write the list anew with `python -m tests.cost.test_classes` and read its diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from traceanalyzer.cost.classes import operator_class
from traceanalyzer.cost.views import TO_HOST, VIEWS

LIST = Path(__file__).with_name("operator_classes.txt")

CONTRACTION = """
mm addmm addmm_ bmm baddbmm baddbmm_ addbmm_ addmv_ matmul linear outer einsum dot mv linear_backward
matmul_backward linalg_matmul _foreach_mm fbgemm_linear_int8_weight fbgemm_linear_fp16_weight _sparse_mm hspmm
_scaled_mm _scaled_grouped_mm _int_mm _weight_int4pack_mm _cslt_sparse_mm _addmm_activation
convolution _convolution conv2d convolution_backward cudnn_convolution miopen_depthwise_convolution
_conv_depthwise2d conv_transpose2d thnn_conv2d _slow_conv2d_forward
scaled_dot_product_attention _scaled_dot_product_flash_attention _flash_attention_backward
_efficient_attention_forward _cudnn_attention_forward _scaled_dot_product_efficient_attention_backward
lstm gru _cudnn_rnn _cudnn_rnn_backward miopen_rnn mkldnn_rnn_layer
"""
NORMALIZATION = """
softmax _softmax _log_softmax _softmax_backward_data _safe_softmax _masked_softmax _masked_softmax_backward
special_log_softmax layer_norm native_layer_norm native_layer_norm_backward native_batch_norm cudnn_batch_norm
native_batch_norm_backward native_group_norm instance_norm _fused_rms_norm _fused_rms_norm_backward
sum mean var std_mean amax max min prod any all argmax logsumexp special_logsumexp median mode quantile trace
cumsum cumsum_ logcumsumexp cummax cummin sort msort topk
nll_loss_forward nll_loss2d_backward mse_loss binary_cross_entropy binary_cross_entropy_backward
binary_cross_entropy_with_logits cross_entropy_loss
max_pool2d_with_indices max_pool2d_with_indices_backward avg_pool2d adaptive_avg_pool2d
_adaptive_avg_pool2d_backward _foreach_norm linalg_vector_norm
"""
ELEMENT_WISE = """
add add_ mul maximum minimum normal normal_ allclose _foreach_maximum _foreach_maximum_ max_unpool2d copy_
_to_copy
view_copy contiguous
clone where gelu silu_backward native_dropout embedding embedding_dense_backward index index_put_ gather
scatter_add_ cat _fused_adam_ _fused_adamw_ _foreach_addcdiv_ _amp_foreach_non_finite_check_and_unscale_
_thnn_fused_lstm_cell _thnn_fused_lstm_cell_backward _thnn_fused_gru_cell _cslt_compress fill_ zero_
log_normal_
__and__ upsample_bilinear2d fft_fftshift
"""
OTHER = """
fft_fft _fft_r2c stft linalg_solve _linalg_solve_ex linalg_svd linalg_qr linalg_inv inverse cholesky
linalg_cholesky_ex linalg_eigh linalg_lu_factor lu_solve det
"""
NO_ELEMENTS = """
view as_strided expand transpose t permute slice select squeeze detach_ alias split chunk empty empty_like
empty_strided new_empty resize_ set_ lift_fresh item _local_scalar_dense is_nonzero record_stream
"""
KERNELS = (
    ("ampere_sgemm_128x64_tn", "tensor_contraction"),
    ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_TNN", "tensor_contraction"),
    ("Cijk_Ailk_Bljk_BBS_BH_MT128x128x32", "tensor_contraction"),
    ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128>>(Params)", "tensor_contraction"),
    ("void cutlass::device_kernel<flash::FlashAttnFwdSm90<Softmax>>(Params)", "tensor_contraction"),
    ("void flashinfer::norm::RMSNormKernel<8u, __half>(P)", "statistical_normalization"),
    ("void transformer_engine::ln_bwd_finalize_tuned_kernel<T>(P)", "statistical_normalization"),
    ("liger_cross_entropy_kernel", "statistical_normalization"),
    ("void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16>(P)", "element_wise"),
    ("void fbgemm_gpu::split_embedding_backward_codegen_rowwise_adagrad_kernel<T>", "element_wise"),
    ("void kDequantizeBlockwise<__nv_bfloat16, 512, 64, 8, 2>(P)", "element_wise"),
    ("void kOptimizerStatic8bit2StateBlockwise<__nv_bfloat16, 3, 256, 1>(P)", "element_wise"),
    ("void transformer_engine::dgated_act_kernel<float>(P)", "element_wise"),
    ("void marlin::Marlin<T>(P)", "tensor_contraction"),
    ("void deep_gemm::sm90_fp8_gemm_1d2d_impl<(cute::UMMA::Major)0>(P)", "tensor_contraction"),
    ("void splitKreduce_kernel<32, 16, int, float>(P)", "tensor_contraction"),
    ("cudnn_infer_volta_scudnn_128x128_stridedB_small_nn_v1", "tensor_contraction"),
    ("void (anonymous namespace)::cunn_SoftMaxForward<8, float>(float*)", "statistical_normalization"),
    ("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>(R)", "statistical_normalization"),
    (
        "void at::native::<unnamed>::multi_tensor_apply_kernel<M, LpNormFunctor<float>>(M)",
        "statistical_normalization",
    ),
    (
        "void at::native::elementwise_kernel<128, GroupNormKernelImplInternal<float>>(T)",
        "statistical_normalization",
    ),
    ("void at::native::vectorized_elementwise_kernel<4, at::native::MaxFunctor<float>>(int)", "element_wise"),
    ("void at::native::(anonymous namespace)::CatArrayBatchedCopy<float, 2>(float*)", "element_wise"),
    ("void at::native::multi_tensor_apply_kernel<M, FusedAdamMathFunctor<float>>(M)", "element_wise"),
    ("void cudnn::engines_precompiled::nchwToNhwcKernel<float>(P)", "element_wise"),
    ("triton_poi_fused__flash_attn_backward__softmax_bmm_4", "element_wise"),
    ("triton_red_fused__scaled_mm_sum_2", "statistical_normalization"),
    ("triton_per_fused_native_layer_norm_0", "statistical_normalization"),
    ("triton_tem_fused_addmm_relu_3", "tensor_contraction"),
    ("convert_properties_kernel", "other"),
    ("my_own_kernel", "other"),
)


@pytest.mark.parametrize(("names", "kind"), [
    (CONTRACTION, "tensor_contraction"), (NORMALIZATION, "statistical_normalization"),
    (ELEMENT_WISE, "element_wise"), (OTHER, "other"), (NO_ELEMENTS, "other"),
])  # fmt: skip
def test_ops_by_hand(names: str, kind: str) -> None:
    assert [n for n in names.split() if operator_class(f"aten::{n}", None) != kind] == []


@pytest.mark.parametrize(("name", "kind"), KERNELS)
def test_kernels_without_an_op(name: str, kind: str) -> None:
    assert operator_class(None, name) == kind


def test_an_op_decides_before_its_kernel() -> None:
    assert operator_class("aten::sum", "ampere_sgemm_128x64_tn") == "statistical_normalization"
    assert operator_class("triton_poi_fused_add_0", "triton_red_fused_sum_0") == "element_wise"
    assert operator_class("mylib::product", "ampere_sgemm_128x64_tn") == "tensor_contraction"
    assert operator_class("mylib::product", None) == "other"


def test_every_operator_keeps_its_class() -> None:
    listed = dict(line.split() for line in LIST.read_text().splitlines())
    assert {n: operator_class(n, None) for n in listed} == listed


def test_an_in_place_variant_is_of_the_class_of_its_op() -> None:
    listed = dict(line.split() for line in LIST.read_text().splitlines())
    pairs = [(n, f"{n}_") for n in listed if f"{n}_" in listed]
    assert len(pairs) > 100
    assert [p for p in pairs if listed[p[0]] != listed[p[1]]] == []


def test_views_and_allocations_are_in_no_share_of_work() -> None:
    """A row of such an operator is time on the host; no kernel of it maps elements to elements."""
    kinds = {operator_class(f"aten::{name}", None) for name in VIEWS | TO_HOST}
    assert kinds == {"other"}


def write_list() -> None:
    """Every ATen name of the installed torch with its class."""
    import torch

    names = {s.name for s in torch._C._jit_get_all_schemas() if s.name.startswith("aten::")}
    LIST.write_text("".join(f"{n} {operator_class(n, None)}\n" for n in sorted(names)))


if __name__ == "__main__":
    write_list()
