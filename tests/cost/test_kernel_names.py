"""What kernel names say, by names of the libraries that write them."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.cost import operator_class
from traceanalyzer.cost.kernel_names import (
    dtype_of_template,
    engine_of,
    is_communication,
    is_communication_op,
    is_winograd_or_fft,
    tf32_of,
)
from traceanalyzer.records import Engine, OperatorClass
from traceanalyzer.records.units import ITEMSIZE


@pytest.mark.parametrize("name", [
    "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
    "ncclKernel_AllGather_RING_LL_Sum_int8_t(ncclWorkElem)",
    "rcclGenericKernel<1, true>(ncclDevKernelArgsStorage<4096ul>)",
    "mscclKernel_Sum_half_LL(ncclDevComm*)",
    "mscclpp::allreduce::allreduceAllpairs<int>()",
    "void trtllm_allreduce::allReduceFusionKernel<__half, 8>(Params)",
    "void moe_allreduce_fusion_kernel_oneshot_lamport<Pattern, float>(Params)",
    "void aiter::allreduce_fusion_kernel_1stage<__hip_bfloat16, 8>(Params)",
    "void vllm::cross_device_reduce_1stage<c10::BFloat16, 8>(RankData*)",
    "void vllm::all_gather_kernel<float, 4>(void**)",
    "void reduce_scatter_kernel<float>(float*, int)",
    "userbuffers_fp16_sum_inplace_gpu_rw(int, int)",
    "deepep::internode::dispatch<8>(void*)",
    "void deep_ep::intranode::combine<__nv_bfloat16, 8, 768>(__nv_bfloat16*)",
    "hcclAllReduce",
    "void one_shot_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16**)",
    "void multimem_all_gather_kernel<16>(char*)",
    "void moeAllToAllKernel<8>(Params)",
    "nvshmemi_transfer_rma_put",
])  # fmt: skip
def test_transfers_of_every_library_are_communication(name: str) -> None:
    assert is_communication(name)


@pytest.mark.parametrize("name", [
    "void splitKreduce_kernel<32, 16, int, float, __nv_bfloat16, float>(cublasSplitKParams<float>)",
    "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::func_wrapper_t>>(R)",
    "void hipblaslt_transform_kernel<float>(float*)",
    "void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>(T)",
    "void at::native::_scatter_gather_elementwise_kernel<128, 8, at::native::_cuda_scatter_gather>(int)",
    "void at::native::vectorized_gather_kernel<16, long>(char*, char*, long*)",
    "void at::native::scatter_reduce_kernel<float>(float*)",
    "void cub::DeviceReduceSingleTileKernel<Policy>(int*)",
    "void small_gather_kernel<float>(float*)",
    "void oneflow::cuda::softmax::BlockAllReduceSoftmax<float>(float*)",
    "triton_poi_fused_all_gather_into_tensor_out_cat_3",
    "triton_red_fused_add_all_reduce_mean_wait_tensor_1",
    "Cijk_Ailk_Bljk_BBS_BH_MT128x128x32_MI32x32x8x1_SN_GSU4_GSUAMBSK",
])  # fmt: skip
def test_local_kernels_are_not(name: str) -> None:
    assert not is_communication(name)


@pytest.mark.parametrize(("name", "engine", "is_tf32"), [
    ("cutlass_75_tensorop_bf16_s1688gemm_bf16_128x128_nn_align8", "matrix", False),
    ("ampere_fp16_s1688gemm_fp16_128x128_ldg8_f2f_tn", "matrix", False),
    ("ampere_sgemm_128x64_tn", "vector", False),
    ("void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_128x128_16x4_nn_align4>(Params)", "matrix", True),
    ("void cutlass::Kernel2<cutlass_80_simt_sgemm_128x64_8x5_nn_align1>(Params)", "vector", False),
    ("sm80_xmma_gemm_tf32f32_tf32f32_f32_nn_n_tilesize128x128x16_stage4", "matrix", True),
    ("sm80_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize64x64x64_stage3_cublas", "matrix", True),
    ("sm80_xmma_gemm_f32f32_f32f32_f32", "vector", False),
    ("sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize32x32x8_stage3_ffma_aligna4", "vector", False),
    ("sm80_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize64x64x64", "matrix", False),
    ("void cutlass::Kernel2<cutlass_80_tensorop_d884gemm_64x64_16x4_nt_align1>(Params)", "matrix", False),
    ("void gemv2T_kernel_val<int, int, float, float, float, 128, 16, 4>(P)", "vector", False),
    ("void dot_kernel<float, 128, 0, cublasDotParams<cublasGemvTensor<float const>>>(P)", "vector", False),
    ("void splitKreduce_kernel<32, 16, int, float, float, float, float, true, false>(P)", None, False),
    ("void cublasLt::splitKreduce_kernel<32, 16, int, __half, __half, float>(P)", None, False),
    ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_TNN", "matrix", False),
    ("void pytorch_flash::flash_fwd_kernel<Traits>(Flash_fwd_params)", "matrix", False),
    ("implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1>", "vector", False),
    ("void at::native::vectorized_elementwise_kernel<4, Add, 3>(int)", None, False),
])  # fmt: skip
def test_engine_and_tf32_by_name(name: str, engine: str | None, is_tf32: bool) -> None:
    assert engine_of(name) == engine
    assert (tf32_of(name) is True) == is_tf32


WORDS = st.sampled_from(
    ["cutlass", "gemm", "cub::", "Reduce", "<unnamed>::", "triton_", "triton_poi_", "<", ">", "float",
     "c10::Half", "nccl", "xmma", "s1688", "tf32", "_", " ", "", "\n", "\0", "\ud800", "é", "conv", "softmax",
     "nhwcTo", "::"]
)  # fmt: skip
NAMES = st.lists(WORDS | st.text(max_size=5), max_size=12).map("".join)


@settings(max_examples=300, derandomize=True)
@given(NAMES, NAMES)
def test_any_text_is_a_name(op: str, kernel: str) -> None:
    """Whatever a trace calls them, each has a class, and what their names say is on a closed list."""
    for name in (op, f"aten::{op}", None):
        assert operator_class(name, kernel) in get_args(OperatorClass)
    assert engine_of(kernel) in (*get_args(Engine), None)
    assert tf32_of(kernel) in (True, False, None)
    assert dtype_of_template(kernel) in (*ITEMSIZE, None)
    assert {is_communication(kernel), is_communication_op(op), is_winograd_or_fft(kernel)} <= {True, False}
