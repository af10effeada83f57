"""Dropout with its neighbors, and dropout that drops nothing."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, inside, op, scene
from traceanalyzer.fusion.suggestions import suggestions

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


def title(edge: tuple[int, int], *items: Item, steps: int = 1) -> str:
    graph = handed(scene(*items, steps=steps), edge)
    (told,) = [each for each in suggestions(graph).found or () if each.rule == "dropout_chain"]
    return told.title


BESIDE = op("mm", X, X, ns=700_000)


def test_what_dropout_costs_is_said_forward_and_backward() -> None:
    drops = op("native_dropout", X, (), (), concrete=("", "0.1", "True"), ns=200_000)
    grad = op(
        "native_dropout_backward",
        X,
        X,
        (),
        concrete=("", "", "1.1"),
        dtypes=("fp32", "bool", None),
        ns=100_000,
    )
    items = forward(drops, 1), GELU, BESIDE, backward("NativeDropoutBackward0", grad, sequence=1)
    assert title((0, 1), *items, steps=2).endswith("; dropout costs 300 µs per step")
    assert title((0, 1), *items, steps=0).endswith("; dropout costs 300 µs in the whole trace")


def test_a_dropout_by_numbers_costs_all_that_its_call_does() -> None:
    """150 µs to draw, 50 to scale, 100 to multiply; the gradient multiplies again, in 100."""
    call = forward(inside("dropout", op("bernoulli_", X, ns=150_000), op("div_", X, (), ns=50_000),
                          op("mul", X, X, ns=100_000)), 7)  # fmt: skip
    grad = backward("MulBackward0", op("mul", X, X, ns=100_000), sequence=7)
    told = title((2, 3), call, GELU, BESIDE, grad, op("mul", X, X, ns=90_000), steps=2)
    assert told.endswith("; dropout costs 400 µs per step"), "what multiplies elsewhere is no dropout"


@pytest.mark.left_out
def test_a_small_cost_is_not_said() -> None:
    told = title((0, 1), dropout("0.1", "True"), GELU, op("mm", X, X, ns=3_000_000))
    assert "costs" not in told
