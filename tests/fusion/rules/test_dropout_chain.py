"""Dropout with its neighbors, and dropout that drops nothing."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, handed, op, scene

X = (4096, 4096)
N = 4096 * 4096
GELU, MUL = op("gelu", X), op("mul", X, X)


def dropout(p: str, train: str) -> Item:
    return op("native_dropout", X, (), (), concrete=("", p, train))


def test_a_dropout_joins_what_reads_its_result() -> None:
    (match,) = found_by(handed(scene(dropout("0.1", "True"), GELU), (0, 1)), "dropout_chain")
    assert [node.name for node in match.nodes] == ["native_dropout", "gelu"] and match.tier == "T1"
    assert match.bytes_saved == 2 * 4 * N, "its result is neither written nor read; its mask is written"


@pytest.mark.left_out
@pytest.mark.parametrize("p, train", [("0.", "True"), ("0", "True"), ("0.1", "False")])
def test_what_drops_nothing_is_no_dropout(p: str, train: str) -> None:
    found = claims(handed(scene(dropout(p, train), GELU), (0, 1)))
    assert list(found) == ["pointwise_chain"], "the passes over the tensor are still there"


def test_without_recorded_arguments_it_may_drop() -> None:
    assert "dropout_chain" in claims(handed(scene(dropout("", ""), GELU), (0, 1)))


def test_random_numbers_are_a_dropout_where_something_is_multiplied_by_them() -> None:
    drawn = op("bernoulli", X)
    assert "dropout_chain" in claims(handed(scene(drawn, MUL), (0, 1)))
    assert "dropout_chain" not in claims(handed(scene(drawn, op("add", X, X)), (0, 1)))


@pytest.mark.left_out
def test_a_dropout_alone_is_no_chain() -> None:
    assert "dropout_chain" not in claims(scene(dropout("0.1", "True"), op("mm", X, X)))
