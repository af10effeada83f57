"""Residual additions before a normalization; other additions are none."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, handed, op, scene

X = (2048, 4096)
BYTES = 2 * 2048 * 4096
ADD = op("add", X, X, (), dtypes="bf16")
NORM = op("native_layer_norm", X, (), (4096,), (4096,), (), dtypes="bf16",
          concrete=("", "[4096]", "", "", "1e-05"))  # fmt: skip


def test_the_sum_is_read_once_less_and_still_written() -> None:
    (match,) = found_by(handed(scene(ADD, NORM), (0, 1), last=False), "residual_norm")
    assert [node.name for node in match.nodes] == ["add", "native_layer_norm"] and match.tier == "T1"
    assert match.bytes_saved == BYTES


@pytest.mark.left_out
@pytest.mark.parametrize("other", [
    op("add", X, (4096,), (), dtypes="bf16"),   # a bias, or the shift of an adaptive normalization
    op("add", X, (), (), dtypes="bf16"),        # a scalar
    op("mul", X, X, dtypes="bf16"),
], ids=["vector", "scalar", "product"])  # fmt: skip
def test_what_is_no_residual(other: Item) -> None:
    assert list(claims(handed(scene(other, NORM), (0, 1), last=False))) == ["pointwise_chain"]


@pytest.mark.left_out
def test_a_sum_of_other_rows_is_no_residual() -> None:
    other = op("add", (2048, 2048), (2048, 2048), (), dtypes="bf16")
    assert "residual_norm" not in claims(handed(scene(other, NORM), (0, 1), last=False))


@pytest.mark.left_out
def test_a_kernel_that_adds_and_normalizes_is_left_alone() -> None:
    fused = op("_C::fused_add_rms_norm", X, X, (4096,), (), dtypes="bf16")
    assert not claims(scene(ADD, fused))
