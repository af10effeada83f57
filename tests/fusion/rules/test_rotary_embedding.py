"""Rotary embeddings written with real numbers; other negations and complex ones are none."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, inside, op, scene

X, HALF, ANGLES = (4, 16, 512, 64), (4, 16, 512, 32), (512, 64)
N, A = 4 * 16 * 512 * 64, 512 * 64


def rotated(negated: tuple[int, ...] = HALF, joined: str = "cat") -> tuple[Item, ...]:
    return (
        op("mul", X, ANGLES, dtypes="bf16"), op("neg", negated, dtypes="bf16"),
        op(joined, (HALF, HALF), (), dtypes="bf16", concrete=("", "-1")), op("mul", X, ANGLES, dtypes="bf16"),
        op("add", X, X, (), dtypes="bf16"),
    )  # fmt: skip


def test_queries_and_keys_are_read_and_written_once() -> None:
    (match,) = found_by(scene(*rotated(), *rotated()), "rotary_embedding")
    assert len(match.nodes) == 10 and match.tier == "T3"
    assert match.after is not None and match.after.bytes == 2 * 4 * N, "both are bf16, in and out"
    of_one = 4 * N + 2 * A + 2 * N + 4 * N + 4 * N + 2 * A + 6 * N
    assert match.bytes_saved == 2 * of_one - 8 * N


def test_the_other_order_of_pairs_is_stacked() -> None:
    mul, neg, _, *rest = rotated()
    pairs = op("stack", ((*HALF, 1), (*HALF, 1)), (), dtypes="bf16", concrete=("", "-1"))
    assert "rotary_embedding" in claims(scene(mul, neg, pairs, *rest))


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    rotated(negated=X),                                     # all of it is negated, not one half
    (inside("mylib::rotary", *rotated()),),
    (op("mul", X, ANGLES, dtypes="complex64"), op("add", X, X, (), dtypes="complex64")),
    (op("_C::rotary_embedding", (2048,), (2048, 1024), (2048, 1024), (), (4096, 64), (), dtypes="bf16"),),
], ids=["whole", "library", "complex", "fused"])  # fmt: skip
def test_what_is_none_or_is_fused_already(items: tuple[Item, ...]) -> None:
    assert "rotary_embedding" not in claims(scene(*items))
