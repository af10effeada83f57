"""fp32 matmuls and convolutions on the vector engine, and what shows that TF32 is on or cannot help."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, inside, op, scene
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records import Recording

SGEMM = "ampere_sgemm_128x64_nn"
IMAGES = (64, 256, 56, 56)
A100 = "a100-sxm4-80gb"


def mm(size: int = 4096, ns: int = 9_000_000, dtype: str = "fp32", kernel: str = SGEMM) -> Item:
    return op("mm", (size, size), (size, size), dtypes=dtype, kernel=kernel, ns=ns)


def convolution(allowed: str, groups: int = 1, dtype: str = "fp32") -> Item:
    weight = (256, 256 // groups, 3, 3)
    inner = op(
        "cudnn_convolution", IMAGES, weight, (), (), (), (), (), (), (), dtypes=dtype, ns=17_000_000,
        concrete=("", "", "[1, 1]", "[1, 1]", "[1, 1]", str(groups), "True", "False", allowed),
        kernel="void implicit_convolve_sgemm<float, float, 128, 5, 5, 3, 3, 3, 1>",
    )  # fmt: skip
    return inside("conv2d", inside("convolution", inner))


def depthwise(dtype: str) -> Item:
    return op(
        "_conv_depthwise2d", (64, 512, 56, 56), (512, 1, 7, 7), (), (), (), (), (), dtypes=dtype,
        concrete=("", "", "[7, 7]", "", "[1, 1]", "[3, 3]", "[1, 1]"), ns=10_000_000,
        kernel="void at::native::conv_depthwise2d_forward_kernel_generic<float, int>",
    )  # fmt: skip


def on_a100(*items: Item, recording: Recording | None = None) -> StepGraph:
    return scene(*items, device=A100, steps=2, recording=recording)


def test_slow_matmuls_are_one_match_that_claims_each_once() -> None:
    graph = on_a100(mm(), mm(), op("exp", (4096, 4096)))
    (match,) = found_by(graph, "tf32_products")
    assert [node.name for node in match.nodes] == ["mm", "mm"] and match.tier == "T0"
    assert match.saved is not None
    assert 0 < match.saved.low < match.saved.mid < match.saved.high < 2 * 9_000_000
    assert match.where == "the matmuls" and not match.snippet, "the rule's own: matmul precision"


@pytest.mark.left_out
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp64"])
def test_other_types_take_no_tf32(dtype: str) -> None:
    assert "tf32_products" not in claims(on_a100(mm(dtype=dtype)))


@pytest.mark.left_out
def test_a_device_without_tf32_gains_nothing() -> None:
    assert "tf32_products" not in claims(scene(mm(ns=20_000_000), device="v100-sxm2-16gb"))


@pytest.mark.left_out
def test_the_recording_says_that_tf32_is_on() -> None:
    assert "tf32_products" in claims(on_a100(mm(), recording=Recording(tf32=False)))
    assert "tf32_products" not in claims(on_a100(mm(), recording=Recording(tf32=True)))


@pytest.mark.left_out
def test_one_matmul_in_tf32_shows_that_it_is_on() -> None:
    fast = mm(ns=1_200_000, kernel="ampere_tf32_s1688gemm_128x128_nn")
    assert "tf32_products" not in claims(on_a100(mm(), fast))


@pytest.mark.left_out
def test_a_matmul_that_the_memory_limits_gains_nothing() -> None:
    thin = op("mm", (8192, 8192), (8192, 2), kernel=SGEMM, ns=200_000)
    assert "tf32_products" not in claims(on_a100(thin))


def test_convolutions_have_a_setting_of_their_own() -> None:
    (match,) = found_by(on_a100(convolution("False")), "tf32_products")
    assert match.snippet == "torch.backends.cudnn.allow_tf32 = True" and match.where == "the convolutions"
    assert "set_float32_matmul_precision" not in match.action + match.snippet


@pytest.mark.left_out
@pytest.mark.parametrize("item", [
    convolution("True"), convolution(""), convolution("False", groups=8),
    depthwise("fp32"), depthwise("bf16"),
], ids=["allowed already", "not recorded", "grouped", "depthwise", "depthwise bf16"])  # fmt: skip
def test_convolutions_that_gain_nothing(item: Item) -> None:
    assert "tf32_products" not in claims(on_a100(item))


def test_each_kind_has_its_remedy_and_no_operator_two() -> None:
    matches = found_by(on_a100(mm(), convolution("False")), "tf32_products")
    assert [match.where for match in matches] == ["the matmuls", "the convolutions"]
    places = [node.place for match in matches for node in match.nodes]
    assert len(places) == len(set(places)) == 2


def test_no_time_no_share() -> None:
    assert "tf32_products" not in claims(on_a100(mm(ns=0)))
