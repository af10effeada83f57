"""Rows of a made-up GPT training step on an H100, priced by hand-written products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traceanalyzer.records import Device, Flag, NamedTime, OperatorClass, OpRow, Peak, Phase, Verdict

H100 = Device(
    id="nvidia-h100-sxm", name="NVIDIA H100 80GB HBM3", kind="gpu", how="trace", confidence="high",
    bandwidth_bytes_per_s=3.35e12, l2_bytes=52_428_800, multiprocessors=132,
    peaks=(
        Peak("matrix", "bf16", 989.4e12), Peak("matrix", "fp16", 989.4e12), Peak("matrix", "tf32", 494.7e12),
        Peak("matrix", "fp8_e4m3", 1978.9e12), Peak("vector", "fp32", 66.9e12),
        Peak("vector", "fp64", 33.5e12),
        Peak("vector", "bf16", 133.8e12),
    ),
    provenance="nvidia-h100-sxm, told by its name, confirmed by memory and multiprocessors. "
               "NVIDIA H100 datasheet, SXM column; sparse tensor figures halved",
)  # fmt: skip

BF16, FP32 = "c10::BFloat16", "float"
_BATCH, _LENGTH, _WIDTH, _HIDDEN, _HEADS = 8, 1024, 2048, 8192, 16
_TOKENS = _BATCH * _LENGTH
_STEPS = 3
_GEMM = ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k"
         "_off_kernel__5x_cublas")  # fmt: skip
_POINTWISE = (
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, "
    "std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul>)"
)


def _row(
    name: str, dims: Any, types: tuple[str, ...], phase: Phase | None, module: str | None, *,
    flops: int, read: int, write: int, efficiency: float, kernel: str,
    engine: Any = "vector", precision: str = "fp32", operator_class: OperatorClass = "element_wise",
    calls: int = _STEPS, flags: tuple[Flag, ...] = (), verdict: Verdict | None = None, note: str = "",
) -> OpRow:  # fmt: skip
    """`flops`, `read`, `write` of one call; the time follows from `efficiency`."""
    peak = H100.peak(engine, precision)
    assert peak and H100.bandwidth_bytes_per_s
    compute_ns = calls * flops / peak * 1e9
    memory_ns = calls * (read + write) / H100.bandwidth_bytes_per_s * 1e9
    roof = max(compute_ns, memory_ns)
    bound: Any = "compute" if flops and compute_ns >= memory_ns else "memory"
    time = max(calls * 1_000, round(roof / efficiency))
    efficiency = roof / time
    told: Verdict = verdict or ("compute_bound" if bound == "compute" else "memory_bound")
    if not verdict and efficiency < 0.6:
        small = time / calls < 5_600
        told, flags = ("latency_bound", flags) if small else (told, (*flags, "inefficient"))
    return OpRow(
        name=name, input_dims=dims, input_types=types, input_strides=None, concrete_inputs=None, phase=phase,
        module=module, calls=calls, kernels=calls, time_ns=time, attributed_ns=time,
        flops=calls * flops, recomputed_flops=calls * flops if phase == "recompute" else 0,
        read_bytes=calls * read, write_bytes=calls * write,
        intensity=flops / (read + write), engine=engine, precision=precision, roof_ns=roof,
        efficiency=efficiency, bound=bound, limiter=bound if efficiency >= 0.6 else "neither", verdict=told,
        operator_class=operator_class, flags=flags, reason=None, kernel_names=(NamedTime(kernel, time),),
        note=note,
    )  # fmt: skip


def _mm(m: int, k: int, n: int, phase: Phase, module: str, efficiency: float, **more: Any) -> OpRow:
    return _row(
        "aten::mm", ((m, k), (k, n)), (BF16, BF16), phase, module, flops=2 * m * k * n,
        read=2 * (m * k + k * n), write=2 * m * n, efficiency=efficiency, kernel=_GEMM, engine="matrix",
        precision="bf16", operator_class="tensor_contraction", **more,
    )  # fmt: skip


def _map(
    name: str, shape: tuple[int, ...], inputs: int, per_element: int, phase: Phase | None, module: str | None,
    efficiency: float, **more: Any,
) -> OpRow:  # fmt: skip
    count = 1
    for n in shape:
        count *= n
    more.setdefault("kernel", _POINTWISE)
    return _row(
        name, (shape,) * inputs, (BF16,) * inputs, phase, module, flops=per_element * count,
        read=2 * inputs * count, write=2 * count, efficiency=efficiency, **more,
    )  # fmt: skip


def _layer(i: int) -> Iterator[OpRow]:
    at = f"model.layers.{i}"
    wide, act = (_TOKENS, _WIDTH), (_BATCH, _LENGTH, _WIDTH)
    hidden, scores = (_BATCH, _LENGTH, _HIDDEN), (_BATCH, _HEADS, _LENGTH, _LENGTH)
    wobble = 0.01 * i
    for phase, slower in (("forward", 0.0), ("backward", 0.05)):
        p: Any = phase
        yield _mm(*wide, 3 * _WIDTH, p, f"{at}.attn.qkv", 0.78 - slower - wobble)
        yield _mm(*wide, _WIDTH, p, f"{at}.attn.proj", 0.66 - slower)
        yield _mm(*wide, _HIDDEN, p, f"{at}.mlp.fc1", 0.81 - slower)
        yield _mm(_TOKENS, _HIDDEN, _WIDTH, p, f"{at}.mlp.fc2", 0.8 - slower + wobble / 2)
        suffix = "" if p == "forward" else "_backward"
        yield _map(
            f"aten::native_layer_norm{suffix}",
            act,
            1 if p == "forward" else 2,
            7,
            p,
            f"{at}.norm1",
            0.64 - slower,
            operator_class="statistical_normalization",
            kernel="void at::native::vectorized_layer_norm_kernel<c10::BFloat16, float>",
        )
        yield _map(
            f"aten::gelu{suffix}",
            hidden,
            1 if p == "forward" else 2,
            8,
            p,
            f"{at}.mlp.act",
            0.83 - slower,
            flags=("special_function_heavy",) if i == 0 else (),
        )
        yield _map(
            f"aten::_softmax{suffix}",
            scores,
            1,
            4,
            p,
            f"{at}.attn",
            0.71 - slower - wobble,
            operator_class="statistical_normalization",
            kernel="void softmax_warp_forward<c10::BFloat16, c10::BFloat16, float, 10>",
        )
        yield _map("aten::add", act, 2, 1, p, at, 0.86 - slower)
    yield _row(
        "aten::bmm", ((_BATCH * _HEADS, _LENGTH, 128), (_BATCH * _HEADS, 128, _LENGTH)), (BF16, BF16),
        "forward", f"{at}.attn", flops=2 * _BATCH * _HEADS * _LENGTH * 128 * _LENGTH,
        read=2 * 2 * _BATCH * _HEADS * _LENGTH * 128, write=2 * _BATCH * _HEADS * _LENGTH**2,
        efficiency=0.7, engine="matrix", precision="bf16", operator_class="tensor_contraction", kernel=_GEMM,
    )  # fmt: skip
    yield _map("aten::mul", (_BATCH, _LENGTH, 1), 2, 1, "forward", f"{at}.rope", 0.5, calls=12)


def _rest() -> Iterator[OpRow]:
    yield _mm(_TOKENS, _WIDTH, 50304, "forward", "model.lm_head", 0.84)
    yield _row(
        "aten::mm", ((4096, 512), (512, 4096)), (FP32, FP32), "forward", "model.router",
        flops=2 * 4096 * 512 * 4096, read=4 * 2 * 4096 * 512, write=4 * 4096**2, efficiency=0.62,
        kernel=_GEMM,
        engine="matrix", precision="tf32", operator_class="tensor_contraction", flags=("tf32_assumed",),
    )  # fmt: skip
    yield _row(
        "aten::cudnn_convolution", ((8, 256, 56, 56), (256, 256, 3, 3)), (BF16, BF16), "forward",
        "model.stem",
        flops=2 * 8 * 256 * 56 * 56 * 256 * 9, read=2 * (8 * 256 * 56 * 56 + 256 * 256 * 9),
        write=2 * 8 * 256 * 56 * 56, efficiency=1.34, engine="matrix", precision="bf16", flags=("over_roof",),
        operator_class="tensor_contraction", kernel="winograd_fwd_3x3_bf16_kernel",
    )  # fmt: skip
    parameters = tuple((_HIDDEN, _WIDTH) for _ in range(148))
    count = 148 * _HIDDEN * _WIDTH
    yield _row(
        "aten::_fused_adamw_", (parameters,) * 4, ("TensorList",) * 4, "optimizer", None, flops=14 * count,
        read=16 * count // 8, write=12 * count // 8, efficiency=0.88,
        kernel="void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor<float, 4>>",
        note="the dtype of the list's tensors is read from the kernel's name",
    )  # fmt: skip
    yield _map("aten::copy_", (_TOKENS, _WIDTH), 1, 0, "forward", "model.embed", 0.9)
    yield _map(
        "aten::cat", (_TOKENS, 2 * _WIDTH), 1, 0, "forward", "model.embed", 1.2, flags=("cache_resident",)
    )
    yield _map("aten::gelu", (_BATCH, _LENGTH, _HIDDEN), 1, 8, "recompute", "model.layers.0.mlp.act", 0.82)
    for name, reason, time in (
        ("flash::varlen_attention", "no_formula", 1_900_321), ("aten::index_put_", "data_dependent", 411_207),
        ("triton_poi_fused_add_native_layer_norm_3", "compiled_region", 240_011),
    ):  # fmt: skip
        yield _plain(name, "unmodelled", "other", time, 3, reason, shaped=reason != "compiled_region")
    yield _plain(
        "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
        "communication",
        "communication",
        3_840_000,
        6,
        None,
    )
    yield _plain("Memcpy HtoD (Pinned -> Device)", "copy", "copy", 96_000, 6, None)
    yield _plain("Memset (Device)", "copy", "copy", 3_300, 9, None)
    yield _plain("aten::zero_", "memory_bound", "element_wise", 0, 3, None)


def _plain(
    name: str,
    verdict: Any,
    operator_class: Any,
    time: int,
    kernels: int,
    reason: Any,
    *,
    shaped: bool = False,
) -> OpRow:
    """A row without a cost."""
    return OpRow(
        name=name, input_dims=((_TOKENS, _WIDTH),) if shaped else None,
        input_types=(BF16,) if shaped else None,
        input_strides=None, concrete_inputs=None, phase="forward" if shaped else None, module=None,
        calls=kernels, kernels=kernels, time_ns=time,
        attributed_ns=time * 2 // 5 if verdict == "communication" else time,
        flops=None, read_bytes=None, write_bytes=None, intensity=None, engine=None, precision=None,
        roof_ns=None, efficiency=None, bound="memory" if verdict == "memory_bound" else None, verdict=verdict,
        operator_class=operator_class, flags=("zero_duration",) if time == 0 else (), reason=reason,
        kernel_names=(NamedTime(name, time),),
    )  # fmt: skip


def training_rows() -> list[OpRow]:
    """Some eighty rows: all verdicts, three precisions, four phases, most flags."""
    return [row for i in range(4) for row in _layer(i)] + list(_rest())
