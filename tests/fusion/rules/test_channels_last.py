"""Convolutions that change the layout of their images."""

from __future__ import annotations

import pytest

from tests.fusion.rules.test_slow_precision import cpu
from tests.fusion.scenes import Item, claims, found_by, inside, op, scene
from traceanalyzer.fusion.rules import rule_named

LAYOUT = "void cudnn::engines_precompiled::nchwToNhwcKernel<__half, __half, float, false, true>"
GEMM = "sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc"
X = (32, 64, 56, 56)
NCHW, NHWC = (64 * 56 * 56, 56 * 56, 56, 1), (64 * 56 * 56, 1, 64 * 56, 64)


def convolution(
    strides: tuple[int, ...] = NCHW, layout: str = LAYOUT, x: tuple[int, ...] = X, groups: int = 1
) -> Item:  # fmt: skip
    weight = (64, x[1] // groups, *(3 for _ in x[2:]))
    ones = str([1] * (len(x) - 2))
    return op(
        "cudnn_convolution", x, weight, (), (), (), (), (), (), (), dtypes="fp16",
        strides=(strides, (), (), (), (), (), (), (), ()) if strides else (),
        concrete=("", "", ones, ones, ones, str(groups), "True", "False", "True"),
        kernels=((layout, 40_000), (GEMM, 100_000)),
    )  # fmt: skip


def test_layout_kernels_are_all_that_can_be_saved() -> None:
    (match,) = found_by(scene(convolution(), convolution(), steps=2), "channels_last")
    assert [node.name for node in match.nodes] == ["cudnn_convolution"] * 2 and match.tier == "T3"
    assert match.saved is not None and match.saved.low == 0
    assert match.saved.high == pytest.approx(80_000), "of two convolutions, one layout kernel each"
    assert "28.6 % of busy time" in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("item", [
    convolution(layout=GEMM),
    convolution(strides=NHWC),
    op("mm", (512, 512), (512, 512), dtypes="fp16", kernel="batched_transpose_32x32_pack_2x2"),
    inside("conv1d", inside("convolution", convolution(strides=(), x=(32, 64, 1, 3136)))),
    op("copy_", X, X, kernel=LAYOUT),
    convolution(groups=64), convolution(groups=4), convolution(x=(32, 3, 224, 224), strides=()),
], ids=[
    "no layout kernel", "channels last already", "a matmul", "1-D", "no convolution", "depthwise", "grouped",
    "few channels",
])  # fmt: skip
def test_where_there_is_no_layout_to_change(item: Item) -> None:
    assert "channels_last" not in claims(scene(item))


SMALL, TOGETHER, APART = (
    (8, 24, 128, 128),
    (24 * 128 * 128, 1, 24 * 128, 24),
    (24 * 128 * 128, 128 * 128, 128, 1),
)
FLOPS = 2 * 8 * 24 * 24 * 9 * 128 * 128  # of a 3 x 3 convolution of 24 channels: 1.36 GFLOP
MS = 1_000_000


def on_cpu(name: str, strides: tuple[int, ...] = APART, ns: int = 29 * MS) -> Item:
    rest = ((24, 24, 3, 3), (), (), (), (), ()) if "convolution" in name else ((), (), (), (), (), ())
    concrete = ("", "", "", "[1, 1]", "[1, 1]", "[1, 1]", "1")
    return op(name, SMALL, *rest, strides=(strides, *(() for _ in rest)), concrete=concrete, ns=ns)


def test_a_cpu_converts_inside_of_its_convolutions() -> None:
    """Measured: 28.8 ms, then 9.8; its FLOPs take 6.8 at 200 GFLOP/s. The pooling 9.1 ms, then 0.7."""
    at_peak = 1e9 * FLOPS / 200e9
    graph = scene(on_cpu("mkldnn_convolution"), steps=2, on_cpu=True, device=cpu(fp32=200e9))
    (match,) = found_by(graph, "channels_last")
    assert match.saved is not None and match.saved.low == 0 and match.tier == "T3"
    assert match.saved.mid == pytest.approx(0.7 * (29 * MS - at_peak))
    assert match.saved.high == pytest.approx(29 * MS - at_peak)
    pooling = on_cpu("max_pool2d_with_indices", ns=9 * MS)
    pooled = scene(on_cpu("mkldnn_convolution"), pooling, steps=2, on_cpu=True, device=cpu(fp32=200e9))
    (more,) = found_by(pooled, "channels_last")
    assert more.saved is not None and more.saved.high - match.saved.high == pytest.approx(
        0.85 * 9 * MS, rel=1e-5
    )
    assert "model.to(memory_format=torch.channels_last)" in rule_named("channels_last").snippet


def test_evidence_names_all_that_gains() -> None:
    cases = (
        ((), "1 convolution takes 22.2 ms per step more than the FLOPs do at the peak"),
        ((9,), "and 1 pooling or interpolation takes 9.00 ms per step, vectorized in channels_last alone"),
        ((9, 5), "and 2 poolings and interpolations take 14.0 ms per step"),
    )
    for poolings, said in cases:
        items = [on_cpu("max_pool2d_with_indices", ns=each * MS) for each in poolings]
        graph = scene(on_cpu("mkldnn_convolution"), *items, steps=2, on_cpu=True, device=cpu(fp32=200e9))
        (match,) = found_by(graph, "channels_last")
        assert said in match.evidence
        assert ("pooling" in match.evidence) == bool(poolings)


def test_norms_that_lose_are_taken_off() -> None:
    """The gradient of a batch norm: 1.9 ms, then 4.6; at best half as much more."""
    norm = on_cpu("native_batch_norm_backward", ns=4 * MS)
    alone, less = (
        found_by(scene(*items, steps=2, on_cpu=True, device=cpu(fp32=200e9)), "channels_last")[0].saved
        for items in ([on_cpu("mkldnn_convolution")], [on_cpu("mkldnn_convolution"), norm])
    )
    assert alone is not None and less is not None
    assert alone.mid - less.mid == pytest.approx(6 * MS, rel=1e-5)
    assert alone.high - less.high == pytest.approx(3 * MS, rel=1e-5)


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    [on_cpu("mkldnn_convolution", TOGETHER)], [on_cpu("mkldnn_convolution", ())],
    [on_cpu("max_pool2d_with_indices")], [on_cpu("mkldnn_convolution", ns=round(1e9 * FLOPS / 200e9))],
], ids=["channels last already", "no strides", "no convolution", "at the peak"])  # fmt: skip
def test_a_cpu_that_has_nothing_to_convert(items: list[Item]) -> None:
    assert "channels_last" not in claims(scene(*items, steps=2, on_cpu=True, device=cpu(fp32=200e9)))


def test_bf16_and_the_layout_are_two_changes() -> None:
    graph = scene(on_cpu("mkldnn_convolution"), steps=2, on_cpu=True, device=cpu(fp32=200e9, bf16=400e9))
    assert {"half_precision", "channels_last"} <= claims(graph).keys()


def test_volumes_have_a_layout_of_their_own() -> None:
    (match,) = found_by(scene(convolution(strides=(), x=(8, 64, 16, 28, 28))), "channels_last")
    assert "channels_last_3d" in match.snippet and match.where == "the 3-D convolutions"
