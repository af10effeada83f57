"""The gradient of a large embedding table."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, op, scene

ROWS, WIDTH, TOKENS = 50_000, 256, (4, 64)
GRAD = (*TOKENS, WIDTH)


def gradient(rows: str = str(ROWS), by_frequency: str = "False", tokens: tuple[int, ...] = TOKENS) -> Item:
    return op(
        "embedding_dense_backward", (*tokens, WIDTH), tokens, (), (), (),
        dtypes=("fp32", "int64", None, None, None), concrete=("", "", rows, "-1", by_frequency),
    )  # fmt: skip


def step(inner: Item, sparse: str = "False") -> list[Item]:
    asked = op("embedding_backward", GRAD, TOKENS, (), (), (), (), dtypes=("fp32", "int64", *(None,) * 4),
               concrete=("", "", str(ROWS), "-1", "False", sparse), kernels=(), inner=(inner,))  # fmt: skip
    lookup = op("embedding", (ROWS, WIDTH), TOKENS, (), (), (), dtypes=("fp32", "int64", None, None, None),
                concrete=("", "", "-1", "False", sparse))  # fmt: skip
    return [
        forward(lookup, 1), forward(op("mm", (256, WIDTH), (WIDTH, ROWS)), 2),
        backward("EmbeddingBackward0", asked, sequence=1),
    ]  # fmt: skip


def test_the_gradient_is_claimed_without_a_time() -> None:
    (match,) = found_by(scene(*step(gradient()), steps=2), "embedding_backward")
    assert [node.name for node in match.nodes] == ["embedding_dense_backward"] and match.tier == "T0"
    assert match.saved is None and match.after is None
    assert "50,000 rows, of which a step touches 256 at most" in match.evidence


@pytest.mark.parametrize("items", [
    step(gradient(rows="1000")),
    step(gradient(rows="²")),
    step(gradient(rows="")),
    step(gradient(tokens=())),
    step(gradient(by_frequency="True")),
    step(gradient(), sparse="True"),
], ids=["most rows", "no number", "not recorded", "no dims", "by frequency", "sparse already"])  # fmt: skip
def test_where_nothing_is_to_be_saved(items: list[Item]) -> None:
    assert "embedding_backward" not in claims(scene(*items))


def test_a_table_that_the_output_layer_shares_is_touched_in_full() -> None:
    table, other = (-1, (1, 0, 4 * ROWS * WIDTH)), (-2, (2, 0, 4 * ROWS * WIDTH))
    graph = scene(*step(gradient()))
    apart = handed(graph, tensors={(0, 0): table, (1, 1): other})
    assert "embedding_backward" in claims(apart)
    assert "embedding_backward" not in claims(handed(graph, tensors={(0, 0): table, (1, 1): table}))
