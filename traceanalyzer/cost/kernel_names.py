"""What a kernel's name says: communication, engine, TF32, element type. Pure functions of the name."""

from __future__ import annotations

import re

from traceanalyzer.records import Engine
from traceanalyzer.records.units import canonical_dtype

# NCCL and RCCL device kernels, MSCCL, oneCCL, HCCL, NVSHMEM, symmetric memory (torch/csrc/distributed/c10d/
# symm_mem), Transformer Engine's userbuffers, DeepEP, the all-reduce kernels of vLLM, SGLang, TensorRT-LLM
# and AITER. Never a bare `reduce` or `gather`: splitKreduce is part of a GEMM, gatherTopK is local.
_COMMUNICATION = re.compile(
    r"nccl|rccl|msccl|oneccl|hccl|nvshmem|multimem|cross_device_reduce|deep_?ep(?![a-z])|userbuffers"
    r"|symm_mem|symmetric_memory"
    r"|(?<![a-z])all_?(?:reduce|gather|to_?all)|(?<!warp)(?<!block)(?-i:All)_?(?:reduce|gather|toall)"
    r"|(?:quick|lamport|ipc|custom)_?all_?reduce"
    r"|(?<![a-z])reduce_?scatter|(?-i:ReduceScatter)",
    re.IGNORECASE,
)
# Inductor names a kernel after every op it stands for, also one that only fills a collective's buffer.
_GENERATED = re.compile(r"triton_(?:poi|red|per|for|spl|mix)_fused")
_COMMUNICATION_OP = re.compile(
    r"(?:_?c10d(?:_functional)?::|record_param_comms|nccl:|gloo:|mpi:|ucc:|xccl:|symm_mem::)"
    r"|_C_custom_ar::|sgl_kernel::all_reduce",
)
# Products on the vector engine: cuBLAS SGEMM and SIMT, gemv, dot; cuDNN's non-tensor convolutions.
_VECTOR = re.compile(
    r"sgemm|simt|gemv|gemmsn|dot_kernel|depthwise|dwconv|implicit_convolve_sgemm|scudnn|dgemm(?!.{0,2000}tensorop)"
    r"|conv2d_c1_k1|reduce_1block_kernel|_ffma_|(?<!t)f32f32_f32f32_f32",
    re.IGNORECASE,
)
# xmma is also the name of a family whose fp32 members multiply by FFMA: f32f32_f32f32_f32 without a `t`.
_NOT_MATRIX = re.compile(r"sgemm_|simt|gemv|_ffma_|(?<!t)f32f32_f32f32_f32", re.IGNORECASE)
_MATRIX = re.compile(
    r"tensorop|s1688|s16816|[sd]884|i8816|i16832|xmma|nvjet|wgmma|h884|h1688|h16816|mfma|flash_(?:fwd|bwd)"
    r"|fmha|pytorch_flash|gmma|hmma",
    re.IGNORECASE,
)
_HALF = re.compile(r"(?<![a-z])(?:b?f16|fp16|bf16|half|hsh|hss|hhh|h(?:884|1688|16816))", re.IGNORECASE)
_TF32 = re.compile(r"tf32", re.IGNORECASE)
_FP32 = re.compile(r"sgemm|simt|_ffma_|(?<!t)f32f32_f32f32_f32", re.IGNORECASE)
_TRANSFORMED = re.compile(r"winograd|fft", re.IGNORECASE)
_TEMPLATE = re.compile(
    r"(?:c10::)?(BFloat16|Half|Float8_e4m3fn(?:uz)?|Float8_e5m2(?:fnuz)?)|\b(float|double|int|long|bool)\b"
)


def is_communication(name: str) -> bool:
    """A collective or point-to-point transfer of any library."""
    return _GENERATED.match(name) is None and _COMMUNICATION.search(name) is not None


def is_communication_op(name: str) -> bool:
    """An operator that starts one."""
    return _COMMUNICATION_OP.match(name) is not None


def engine_of(name: str) -> Engine | None:
    """The engine a product kernel says it runs on; None where its name does not say."""
    if _MATRIX.search(name) and not _NOT_MATRIX.search(name):
        return "matrix"
    return "vector" if _VECTOR.search(name) else None


def tf32_of(name: str) -> bool | None:
    """Whether an fp32 product kernel says it runs in TF32; None where its name does not say.

    `s1688` alone is TF32 only without a half-precision word: `cutlass_75_tensorop_bf16_s1688gemm_bf16`
    and `ampere_fp16_s1688gemm_fp16` are not.
    """
    if _TF32.search(name):
        return True
    if "s1688" in name:
        return None if re.search(r"b?f16|fp16", name, re.IGNORECASE) else True
    return False if _FP32.search(name) else None


def is_winograd_or_fft(name: str) -> bool:
    """A convolution that executes fewer multiplications than the direct sum has."""
    return _TRANSFORMED.search(name) is not None


def dtype_of_template(name: str) -> str | None:
    """Canonical dtype of the elements named in a kernel's template arguments, if they agree."""
    dtypes = {canonical_dtype(a or b) for a, b in _TEMPLATE.findall(name.partition("<")[2])}
    half = dtypes & {"bf16", "fp16"}
    if len(half) == 1:
        return half.pop()
    return dtypes.pop() if len(dtypes) == 1 else None
