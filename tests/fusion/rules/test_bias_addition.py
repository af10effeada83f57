"""A bias that a kernel of its own adds to what a matmul has written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.fusion.scenes import Item, claims, found_by, handed, op, scene

ROWS, WIDTH = 4096, 4096


def items(
    name: str = "mm", bias: tuple[int, ...] = (WIDTH,), dtypes: Sequence[str | None] = ("bf16", "bf16", None),
    alpha: str = "1",
) -> list[Item]:  # fmt: skip
    matmul = op(name, (ROWS, WIDTH), (WIDTH, WIDTH), dtypes="bf16")
    return [matmul, op("add", (ROWS, WIDTH), bias, (), dtypes=dtypes, concrete=("", "", alpha))]


def test_the_addition_is_saved() -> None:
    (match,) = found_by(handed(scene(*items(), steps=2), (0, 1)), "bias_addition")
    assert [node.name for node in match.nodes] == ["add"] and match.tier == "T1"
    assert match.bytes_saved == 2 * (2 * ROWS * WIDTH + WIDTH)
    assert match.saved is not None and match.saved.high == match.nodes[0].time_ns


@pytest.mark.left_out
@pytest.mark.parametrize("given", [
    items("bmm"),
    items(bias=(ROWS, WIDTH)),
    items(dtypes=("bf16", "fp32", None)),
    items(alpha="0.5"),
    [op("addmm", (WIDTH,), (ROWS, WIDTH), (WIDTH, WIDTH)), items()[1]],
], ids=["batched", "a residual", "of another type", "scaled", "given to the matmul already"])  # fmt: skip
def test_what_no_matmul_can_add(given: list[Item]) -> None:
    assert "bias_addition" not in claims(handed(scene(*given), (0, 1)))


@pytest.mark.left_out
def test_a_result_that_is_needed_without_its_bias_too() -> None:
    graph = scene(*items(), op("exp", (ROWS, WIDTH), dtypes="bf16"))
    assert "bias_addition" in claims(handed(graph, (0, 1)))
    assert "bias_addition" not in claims(handed(graph, (0, 1), (0, 2)))


@pytest.mark.left_out
def test_nothing_without_a_known_reader() -> None:
    matmul, addition = items()
    assert "bias_addition" not in claims(scene(matmul, op("exp", (8, 8)), addition))
