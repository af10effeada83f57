"""Normalizations of images in training, with what follows them."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, handed, op, scene

N, C, H = 8, 64, 32
X = (N, C, H, H)
BYTES = 4 * N * C * H * H


def batch_norm(training: str) -> Item:
    return op("native_batch_norm", X, (C,), (C,), (C,), (C,), (), (), (),
              concrete=("", "", "", "", "", training, "0.1", "1e-05"))  # fmt: skip


RELU = op("relu", X)


def test_the_activation_joins_the_normalization() -> None:
    (match,) = found_by(handed(scene(batch_norm("True"), RELU), (0, 1)), "batch_norm_activation")
    assert [node.name for node in match.nodes] == ["native_batch_norm", "relu"] and match.tier == "T1"
    assert match.after is not None and match.after.launches == 1
    assert match.bytes_saved == 2 * BYTES, "what is normalized is neither written nor read again"


def test_an_addition_between_them_joins_too() -> None:
    added = handed(scene(batch_norm("True"), op("add_", X, X), RELU), (0, 1), (1, 2))
    assert claims(added)["batch_norm_activation"] == [("native_batch_norm", "add", "relu")]


@pytest.mark.left_out
def test_stored_statistics_are_folded_instead() -> None:
    assert "batch_norm_activation" not in claims(handed(scene(batch_norm("False"), RELU), (0, 1)))


def test_without_a_recorded_flag_it_may_be_training() -> None:
    assert "batch_norm_activation" in claims(handed(scene(batch_norm(""), RELU), (0, 1)))


@pytest.mark.left_out
def test_a_normalization_alone_is_no_chain() -> None:
    assert "batch_norm_activation" not in claims(scene(batch_norm("True"), op("mm", (64, 64), (64, 64))))
