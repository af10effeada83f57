"""Matmuls in half precision that could be FP8."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, op, scene

TENSOR = "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_NNT"


def mm(m: int = 8192, k: int = 4096, n: int = 4096, dtype: str = "bf16", ns: int = 0) -> Item:
    fast = round(2 * m * k * n / 700e12 * 1e9)
    return op("mm", (m, k), (k, n), dtypes=dtype, kernel=TENSOR, ns=ns or fast)


def test_large_matmuls_are_named_and_not_claimed() -> None:
    graph = scene(mm(), mm(), steps=2)
    (match,) = found_by(graph, "fp8_matmul")
    assert [node.name for node in match.nodes] == ["mm", "mm"]
    assert match.saved is None and match.after is None and not match.claims
    assert "100.0 % of busy time" in match.evidence and "e+0" not in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("item", [
    mm(dtype="fp32"), mm(n=4100), mm(m=2048, k=1024), mm(m=16, ns=20_000),
], ids=["fp32", "odd", "small", "limited by memory"])  # fmt: skip
def test_what_fp8_cannot_help(item: Item) -> None:
    trained = [forward(item, 1), backward("MmBackward0", item, sequence=1)]
    assert "fp8_matmul" not in claims(scene(*trained))


def test_training_in_large_matmuls_is_named() -> None:
    assert "fp8_matmul" in claims(scene(forward(mm(), 1), backward("MmBackward0", mm(), sequence=1)))


@pytest.mark.left_out
def test_tokens_that_16_does_not_divide_matter_in_training_alone() -> None:
    odd = mm(m=8193)
    assert "fp8_matmul" in claims(scene(odd))
    trained = scene(forward(odd, 1), backward("MmBackward0", mm(m=8193), sequence=1))
    assert "fp8_matmul" not in claims(trained)


@pytest.mark.left_out
def test_a_device_without_fp8_gains_nothing() -> None:
    assert "fp8_matmul" not in claims(scene(mm(ns=900_000), device="a100-sxm4-80gb"))


@pytest.mark.left_out
def test_a_model_in_fp8_has_taken_it() -> None:
    scaled = op("_scaled_mm", (4096, 4096), (4096, 4096), (), (), dtypes=("fp8_e4m3", "fp8_e4m3", None, None),
                kernel=TENSOR, ns=100_000)  # fmt: skip
    assert "fp8_matmul" not in claims(scene(mm(), mm(), scaled))
