"""Which peak: engine by op and kernel name, TF32 by evidence, never another device's or a sparse one."""

import pytest

from traceanalyzer.device import named, override
from traceanalyzer.device.match import find
from traceanalyzer.records import Device, Peak
from traceanalyzer.roofline.precision import choose

A100, V100, H100 = named("a100-sxm4-80gb"), named("v100-sxm2"), named("h100-sxm5")
MI300X, MI210 = named("mi300x"), named("mi210")


def pick(device, precision="fp32", kernel="", engine="matrix", tf32=None, rate=None):
    chosen = choose(engine, precision, ((kernel, 1),) if kernel else (), device, tf32, rate)
    return chosen.engine, chosen.precision, chosen.peak


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp8", "int8", "fp64"])
def test_products_are_held_against_the_dense_matrix_peak_of_their_type(precision):
    assert pick(H100, precision) == ("matrix", precision, H100.peak("matrix", precision))


def test_a_type_without_a_matrix_path_runs_on_the_vector_engine():
    assert pick(V100, "bf16") == ("vector", "fp32", 15.7e12)
    assert pick(named("p100-sxm2"), "fp16") == ("vector", "fp32", 10.6e12)
    assert pick(V100, "fp64") == ("vector", "fp64", 7.8e12)


def test_but_nothing_stands_in_for_fp8_or_for_what_a_user_left_out():
    assert pick(A100, "fp8") == ("matrix", "fp8", None)
    unknown = override(find(None).device, ["bf16=100T", "vector:fp32=10T"], "1TB/s")
    assert pick(unknown, "fp16") == ("matrix", "fp16", None)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int64"])
def test_pointwise_computes_in_fp32(precision):
    assert pick(A100, precision, engine="vector") == ("vector", "fp32", 19.5e12)


def test_pointwise_fp64_has_its_own_peak():
    assert pick(named("l4"), "fp64", engine="vector") == ("vector", "fp64", 0.47e12)


@pytest.mark.parametrize(
    "kernel",
    [
        "ampere_sgemm_128x64_tn",
        "void gemv2T_kernel_val<int, float>",
        "void cutlass::Kernel<cutlass_80_simt_sgemm_128x32_8x5_nn_align1>",
    ],
)
def test_a_kernel_name_of_the_vector_engine_overrides_the_op(kernel):
    assert pick(A100, "fp32", kernel) == ("vector", "fp32", 19.5e12)


@pytest.mark.parametrize(
    "kernel",
    [
        "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nhwc",
        "ampere_s1688gemm_fp32_128x128_ldg4_stages_32x1_tn",
        "cutlass_tensorop_s1688gemm_128x128_16x4_nn_align4",
    ],
)
def test_a_kernel_name_can_say_tf32(kernel):
    assert pick(A100, "fp32", kernel) == ("matrix", "tf32", 156e12)


def test_half_precision_names_with_s1688_are_not_tf32():
    kernel = "cutlass_75_tensorop_bf16_s1688gemm_bf16_256x128_nn_align8"
    assert pick(A100, "bf16", kernel) == ("matrix", "bf16", 312e12)


def test_a_silent_name_leaves_it_to_the_recording_and_else_to_full_fp32():
    silent = "nvjet_ssh_128x256_64x4"
    assert pick(H100, "fp32", silent) == ("vector", "fp32", 66.9e12)
    assert pick(H100, "fp32", silent, tf32=True) == ("matrix", "tf32", 494.7e12)
    assert pick(H100, "fp32", silent, tf32=False) == ("vector", "fp32", 66.9e12)
    assert pick(A100, "fp32", "ampere_sgemm_128x64_tn", tf32=True)[0] == "vector", "the name is nearer"


def test_a_rate_above_the_vector_peak_is_assumed_to_be_tf32():
    chosen = choose("matrix", "fp32", (("nvjet_ssh_128x256", 1),), H100, None, 100e12)
    assert (chosen.engine, chosen.precision, chosen.tf32_assumed) == ("matrix", "tf32", True)
    assert not choose("matrix", "fp32", (("nvjet_ssh_128x256", 1),), H100, None, 60e12).tf32_assumed


@pytest.mark.parametrize(
    "kernel",
    ["ampere_sgemm_128x64_tn", "void cudnn::winograd_nonfused::winogradForwardData4x4<float, float>"],
)
def test_a_name_that_explains_the_rate_is_not_upgraded(kernel):
    chosen = choose("matrix", "fp32", ((kernel, 1),), A100, None, 40e12)
    assert (chosen.precision, chosen.tf32_assumed) == ("fp32", False)


@pytest.mark.parametrize("device", [V100, MI300X, MI210, named("rtx-3090")], ids=lambda d: d.id)
def test_no_upgrade_without_faster_tf32(device):
    """Neither on parts without TF32, nor on AMD, nor where TF32 is no faster than fp32."""
    assert not choose("matrix", "fp32", (("some_gemm", 1),), device, None, 200e12).tf32_assumed


def test_amd_multiplies_fp32_on_its_matrix_engine():
    assert pick(MI210, "fp32", "Cijk_Ailk_Bljk_SB_MT128x128x16") == ("matrix", "fp32", 45.3e12)
    assert pick(MI300X, "fp32", "Cijk_Ailk_Bljk_SB_MT128x128x16", tf32=True) == ("matrix", "fp32", 163.4e12)


def test_the_longest_kernel_whose_name_tells_decides():
    kernels = (("splitKreduce_kernel", 50), ("ampere_sgemm_128x64_tn", 900), ("tf32f32_tf32f32_kernel", 10))
    assert choose("matrix", "fp32", kernels, A100, None, None).precision == "fp32"


def test_a_cpu_multiplies_on_its_vector_units():
    device = Device(
        id="cpu",
        name="c",
        kind="cpu",
        how="calibrated",
        confidence="measured",
        bandwidth_bytes_per_s=1e10,
        peaks=(Peak("matrix", "fp32", 1e11),),
    )
    assert pick(device, "fp32") == ("matrix", "fp32", 1e11)
    assert pick(device, "fp32", engine="vector") == ("matrix", "fp32", 1e11)
