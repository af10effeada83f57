"""Convolutions that change the layout of their images."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, inside, op, scene

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


def test_volumes_have_a_layout_of_their_own() -> None:
    (match,) = found_by(scene(convolution(strides=(), x=(8, 64, 16, 28, 28))), "channels_last")
    assert "channels_last_3d" in match.snippet and match.where == "the 3-D convolutions"
