"""Products of other packages: quantized weights, 8- and 4-bit matrices, experts."""

from __future__ import annotations

from msgspec.structs import replace

from traceanalyzer.cost.registry import Missing, between, op_cost
from traceanalyzer.cost.tensors import (
    agree,
    bytes_of,
    bytes_read,
    dtype,
    has,
    is_floating,
    itemsize,
    matrix_precision,
    numel,
    quotient,
    ranked,
    shape,
    tensors,
)
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE, SCALAR_TYPES

_VLLM = "vllm-project/vllm: csrc/torch_bindings.cpp, vllm/model_executor/layers/fused_moe"
_SGLANG = "sgl-project/sglang: sgl-kernel/csrc/common_extension.cc"
_FBGEMM = "pytorch/FBGEMM: fbgemm_gpu/experimental/gen_ai/src/quantize/quantize.cpp"
_AITER = "ROCm/aiter: aiter/ops/gemm_op_a8w8.py, gemm_op_a16w16.py, gemm_op_a4w4.py"
_TRTLLM = "NVIDIA/TensorRT-LLM: cpp/tensorrt_llm/thop"
_BITS = (4, 8)


@op_cost("_C::cutlass_scaled_mm", source=_VLLM)
def scaled_into(call: OpCall) -> Cost:
    """C[m,n] = scales * (A[m,k] @ B[k,n]) in 8 bits: (C, A, B, scales of A, of B, bias)

    FLOPs = 2*m*n*k, against the peak of A's type
    Bytes = A, B, scales and bias read, C written
    Assumes every operand is read once.
    """
    (m, k), (inner, n) = ranked(call, 1, 2), ranked(call, 2, 2)
    agree(call, k, inner)
    read = sum(bytes_read(call, i) for i in tensors(call) if i > 0)
    return Cost(2 * m * n * k, read, bytes_of(call, 0), "matrix", matrix_precision(dtype(call, 1)))


@op_cost("_C::cutlass_scaled_fp4_mm", "sgl_kernel::cutlass_scaled_fp4_mm", source=_VLLM)
def scaled_in_four_bits(call: OpCall) -> Cost:
    """C[m,n] = scales * (A[m,k] @ B[n,k]^T), two 4-bit values a byte: (C, A, B, scales of A, of B, factor)

    FLOPs = 2*m*n*k, against the fp4 peak
    Bytes = A, B and scales read, C written
    Assumes every operand is read once.
    """
    (m, half), (n, inner) = ranked(call, 1, 2), ranked(call, 2, 2)
    agree(call, half, inner)
    read = sum(bytes_read(call, i) for i in tensors(call) if i > 0)
    return Cost(2 * m * n * 2 * half, read, bytes_of(call, 0), "matrix", "fp4")


@op_cost(
    "sgl_kernel::fp8_scaled_mm",
    "sgl_kernel::int8_scaled_mm",
    "sgl_kernel::fp8_blockwise_scaled_mm",
    source=_SGLANG,
)
def scaled_of_sglang(call: OpCall) -> Cost:
    """C[m,n] = scales * (A[m,k] @ B[k,n]) in 8 bits: (A, B, scales of A, of B, type of C, bias)

    FLOPs = 2*m*n*k, against the peak of A's type
    Bytes = A, B, scales and bias read, C of the type asked for written
    Assumes bf16 where that type is not recorded.
    """
    (m, k), (inner, n) = ranked(call, 0, 2), ranked(call, 1, 2)
    agree(call, k, inner)
    asked = SCALAR_TYPES.get(call.concrete[4].strip(), "bf16") if len(call.concrete) > 4 else "bf16"
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(2 * m * n * k, read, m * n * ITEMSIZE[asked], "matrix", matrix_precision(dtype(call, 0)))


@op_cost(
    "fbgemm::f8f8bf16",
    "fbgemm::f8f8bf16_rowwise",
    "fbgemm::f8f8bf16_tensorwise",
    "fbgemm::f8f8bf16_blockwise",
    "fbgemm::i8i8bf16",
    source=_FBGEMM,
)
def scaled_of_fbgemm(call: OpCall) -> Cost:
    """C[m,n] = scales * (X[m,k] @ W[n,k]^T) in 8 bits: (X, W, scales...)

    FLOPs = 2*m*n*k, against the peak of X's type
    Bytes = X, W and scales read, C in bf16 written
    Assumes every operand is read once.
    """
    return _linear(call, 2)


@op_cost("aiter::gemm_a8w8*", "aiter::gemm_a16w16*", source=_AITER)
def of_aiter(call: OpCall) -> Cost:
    """Y[m,n] = X[m,k] @ W[n,k]^T, in 8 bits with scales or in 16

    FLOPs = 2*m*n*k, against the peak of X's type
    Bytes = X, W and scales read, Y in 16 bits written
    Assumes that an argument of Y's size is Y.
    """
    return _linear(call, 2)


@op_cost("aiter::gemm_a4w4*", source=_AITER)
def of_aiter_in_four_bits(call: OpCall) -> Cost:
    """Y[m,n] = X[m,k] @ W[n,k]^T in 4 bits, two values a byte, with a scale for 32 of them: (X, W, scales...)

    FLOPs = 2*m*n*k, against the fp4 peak
    Bytes = X, W, scales and bias read, Y in 16 bits written
    Assumes that an argument of Y's size is Y.
    """
    cost = _linear(call, 2)
    return replace(cost, flops=2 * cost.flops, precision="fp4")


@op_cost("vllm::gemm_with_dynamic_quant", role="composite", source=f"{_VLLM}; quark_ocp_mx.py")
def quantized_first(call: OpCall) -> Cost:
    """Y[m,n] = X[m,k] @ W[n,k]^T, X made 4-bit first, W two values a byte: (X, W, scales of W, ...)

    FLOPs = 2*m*n*k, against the fp4 peak
    Bytes = X, W and scales read, Y in 16 bits written
    Assumes that X in 4 bits, and its scales, do not go by way of the memory.
    """
    x, (n, half) = shape(call, 0), ranked(call, 1, 2)
    rows = numel(x[:-1])
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(2 * rows * n * 2 * half, read, 2 * rows * n, "matrix", "fp4")


@op_cost(
    "trtllm::cublas_mm",
    "trtllm::cublas_scaled_mm",
    "trtllm::fp8_block_scaling_gemm",
    "trtllm::fp4_gemm",
    "trtllm::nvfp4_gemm",
    "trtllm::cublas_fp4_scaled_mm",
    source=_TRTLLM,
)
def of_tensorrt_llm(call: OpCall) -> Cost:
    """C[m,n] = A[m,k] @ B of n*k elements, in 16 bits or with scales in 8 or 4: (A, B, ...)

    FLOPs = 2*m*n*k, against the peak of A's type; of two 4-bit values a byte, against the fp4 peak
    Bytes = A, B, scales and bias read, C in 16 bits written
    Assumes every operand is read once; B lies in either order.
    """
    (m, inner), size = ranked(call, 0, 2), numel(shape(call, 1))
    four = "fp4" in call.name
    columns = quotient(size, inner)
    flops = 2 * m * size * (2 if four else 1)
    read = sum(bytes_read(call, i) for i in tensors(call))
    precision = "fp4" if four else matrix_precision(dtype(call, 0))
    return Cost(flops, read, 2 * m * columns, "matrix", precision)


@op_cost("vllm::rocm_unquantized_gemm*", "vllm::cpu_unquantized_gemm", role="composite", source=_VLLM)
def unquantized(call: OpCall) -> Cost:
    """Y[.., n] = X[.., k] @ W[n,k]^T + bias, where it launches the product itself

    FLOPs = 2*rows*n*k
    Bytes = X, W and bias read, Y written
    Assumes every operand is read once.
    """
    return _linear(call, itemsize(call, 0))


def _linear(call: OpCall, size: int) -> Cost:
    """X[.., k] @ W[n, k]^T with `size` bytes an element; an argument of the result's size is the result."""
    x, w = shape(call, 0), shape(call, 1)
    rows, n, k = numel(x[:-1]), w[0], x[-1]
    agree(call, k, w[-1])
    result = next((i for i in tensors(call) if i > 1 and numel(shape(call, i)) == rows * n and n > 1), -1)
    read = sum(bytes_read(call, i) for i in tensors(call) if i != result)
    return Cost(2 * rows * n * k, read, rows * n * size, "matrix", matrix_precision(dtype(call, 0)))


@op_cost(
    "_C::gptq_marlin_gemm",
    "_C::marlin_gemm",
    "_C::awq_gemm",
    "_C::gptq_gemm",
    "_C::awq_marlin_gemm",
    source=_VLLM,
)
def packed_weights(call: OpCall) -> Cost:
    """Y[m,n] = X[m,k] @ dequantized W, several weights packed in an integer, scales [k / group, n]

    FLOPs = 2*m*n*k, against the peak of X's type
    Bytes = X, packed weights, scales and zeros read, Y written
    Assumes weights of 4 or 8 bits, which the sizes must confirm.
    """
    x = shape(call, 0)
    m, k = numel(x[:-1]), x[-1]
    packed = next((i for i in tensors(call) if i > 0 and dtype(call, i) == "int32"
                   and len(shape(call, i)) == 2), None)  # fmt: skip
    scales = next((i for i in tensors(call) if packed is not None and i > packed
                   and len(shape(call, i)) == 2 and is_floating(dtype(call, i))), None)  # fmt: skip
    if packed is None or scales is None:
        raise Missing("no_shapes", "packed weights and scales are not both among the recorded inputs")
    n = shape(call, scales)[-1]
    bits = 32 * numel(shape(call, packed)) / max(n * k, 1)
    if bits not in _BITS:
        raise Missing("no_formula", f"the packed weights have {bits:g} bits for each of {k} x {n}")
    read = sum(bytes_read(call, i) for i in tensors(call))
    return Cost(2 * m * n * k, read, m * n * itemsize(call, 0), "matrix", matrix_precision(dtype(call, 0)))


@op_cost(
    "vllm::inplace_fused_experts",
    "vllm::outplace_fused_experts",
    "sglang::inplace_fused_experts",
    "sglang::outplace_fused_experts",
    source=_VLLM,
)
def experts(call: OpCall) -> Cost:
    """Gated experts of tokens X[m,h]: W1[e,2i,h], W2[e,h,i], each token to t of them (weights [m,t])

    FLOPs = 2*m*t*(2*i*h + i*h), whichever experts the tokens go to
    Bytes = X and the weights of the experts in use read, the result written
    Assumes nothing: routing decides which experts are in use, from as many as a token has to all.
    """
    (m, hidden), (count, double, inner) = ranked(call, 0, 2), ranked(call, 1, 3)
    agree(call, hidden, inner)
    if not has(call, 3):
        raise Missing("no_shapes", "the weights of the chosen experts are not recorded")
    chosen = shape(call, 3)[-1]
    flops = 2 * m * chosen * (double * hidden + double // 2 * hidden)
    each = (bytes_of(call, 1) + bytes_of(call, 2)) // max(count, 1)
    rest = sum(bytes_read(call, i) for i in tensors(call) if i not in (1, 2))
    fewest, most = min(chosen, count), min(m * chosen, count)
    written = bytes_of(call, 0)

    def cost(used: int) -> Cost:
        return Cost(flops, rest + used * each, written, "matrix", matrix_precision(dtype(call, 0)))

    return between(cost(fewest), cost(most), f"between {fewest} and {most} of {count} experts are in use")
