"""The gradient of a large embedding table."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import Item, annotation, backward, claims, forward, found_by, handed, op, scene
from traceanalyzer.fusion.rules import Match
from traceanalyzer.records import Recording

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


def optimizer(name: str, updating: str = "add_") -> Item:
    return annotation(f"Optimizer.step#{name}.step", op(updating, (ROWS, WIDTH), (ROWS, WIDTH)))


def trained_by(*optimizers: Item) -> list[Match]:
    return found_by(scene(*step(gradient()), *optimizers, steps=2), "embedding_backward")


def test_at_most_the_untouched_rows_part_is_saved_and_nothing_is_claimed() -> None:
    """Of the gradient and of the update, 120 us each, what 49,744 of 50,000 rows take."""
    (match,) = trained_by(optimizer("SGD"))
    assert [node.name for node in match.nodes] == ["embedding_dense_backward"] and match.tier == "T0"
    assert match.saved is not None and match.saved.low == 0 and match.after is None and not match.claims
    assert match.saved.high == pytest.approx(2 * 120_000 * (1 - 256 / 50_000))
    assert "50,000 rows, of which a step touches 256 at most" in match.evidence


def test_on_a_cpu_pages_that_come_and_go_may_be_saved_too() -> None:
    items = (*step(gradient()), optimizer("SGD"))
    known = Recording(system_ns_per_step=5_000_000)
    less, more = (
        found_by(scene(*items, steps=2, on_cpu=True, recording=recording), "embedding_backward")[0].saved
        for recording in (None, known)
    )
    assert less is not None and more is not None
    assert more.high - less.high == pytest.approx(5_000_000 * (1 - 256 / 50_000))


def test_zeros_that_are_filled_for_the_gradient_are_of_it() -> None:
    plain, filled = step(gradient()), step(gradient())
    asked = filled[-1].inner[0]
    zeros = op("fill_", (ROWS, WIDTH), (), ns=1_000_000)
    within = replace(asked, inner=(*asked.inner, zeros))
    filled[-1] = replace(filled[-1], inner=(within, *filled[-1].inner[1:]))
    less, more = (
        found_by(scene(*items, optimizer("SGD"), steps=2), "embedding_backward")[0].saved
        for items in (plain, filled)
    )
    assert less is not None and more is not None
    assert more.high - less.high == pytest.approx(1_000_000 * (1 - 256 / 50_000))


@pytest.mark.left_out
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


@pytest.mark.left_out
@pytest.mark.parametrize("name", ["AdamW", "NAdam", "FusedAdam", "DeepSpeedCPUAdam"])
def test_optimizers_that_take_no_sparse_gradients(name: str) -> None:
    assert not trained_by(optimizer(name))


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "SparseAdam"])
def test_optimizers_that_take_sparse_gradients(name: str) -> None:
    assert [match.tier for match in trained_by(optimizer(name))] == ["T0"]


@pytest.mark.left_out
@pytest.mark.parametrize("optimizers", [
    (), (optimizer("SGD"), optimizer("AdamW")), (optimizer("SGD", "_fused_sgd_"),), (optimizer("Adam"),),
], ids=["unknown", "one of two", "fused", "Adam"])  # fmt: skip
def test_where_the_optimizer_has_to_change_or_is_unknown_nothing_is_proved(
    optimizers: tuple[Item, ...]
) -> None:  # fmt: skip
    (match,) = trained_by(*optimizers)
    assert match.tier == "T3"
    by_adam = any("Adam." in each.name for each in optimizers)
    assert ("an optimizer of its own" in match.action) is by_adam


@pytest.mark.left_out
@pytest.mark.parametrize("norm", ["_foreach_norm", "linalg_vector_norm", "norm"])
def test_gradients_whose_norms_are_taken_stay_dense(norm: str) -> None:
    measured = op(norm, (ROWS, WIDTH))
    assert not trained_by(measured, optimizer("SGD"))


@pytest.mark.left_out
def test_a_table_that_the_output_layer_shares_is_touched_in_full() -> None:
    table, other = (-1, (1, 0, 4 * ROWS * WIDTH)), (-2, (2, 0, 4 * ROWS * WIDTH))
    graph = scene(*step(gradient()))
    apart = handed(graph, tensors={(0, 0): table, (1, 1): other})
    assert "embedding_backward" in claims(apart)
    assert "embedding_backward" not in claims(handed(graph, tensors={(0, 0): table, (1, 1): table}))


def bags(sparse: str = "False", mode: str = "0", by_frequency: str = "False") -> list[Item]:
    """64 bags of 256 indices in all; PyTorch calls the dense gradient from the general one."""
    tokens = (256,)
    dense = op(
        "_embedding_bag_dense_backward", (64, WIDTH), tokens, tokens, (64,), (64,), (), (), (), (), (),
        dtypes=("fp32", *["int64"] * 4, *[None] * 5),
        concrete=("", "", "", "", "", str(ROWS), by_frequency, mode, "", "-1"), ns=138_000,
    )  # fmt: skip
    general = op(
        "_embedding_bag_backward", (64, WIDTH), tokens, (64,), tokens, (64,), (64,), (), (), (), (), (), (),
        dtypes=("fp32", *["int64"] * 5, *[None] * 6),
        concrete=("", "", "", "", "", "", str(ROWS), by_frequency, mode, sparse, "", "-1"),
        kernels=(), inner=(dense,),
    )  # fmt: skip
    return [
        forward(op("_embedding_bag", (ROWS, WIDTH), tokens, (64,), dtypes=("fp32", "int64", "int64")), 1),
        backward("EmbeddingBagBackward0", general, sequence=1),
    ]


@pytest.mark.parametrize("on_cpu", [True, False])
def test_bags_write_their_tables_gradient_in_full_too(on_cpu: bool) -> None:
    graph = scene(*bags(), optimizer("SGD"), steps=2, on_cpu=on_cpu)
    (match,) = found_by(graph, "embedding_backward")
    assert match.tier == "T0" and "torch.nn.EmbeddingBag(rows, width, sparse=True)" in match.snippet
    assert "torch.optim.SGD(" in match.snippet
    assert "50,000 rows, of which a step touches 256 at most; 138 µs per step" in match.evidence
    assert match.evidence.endswith("and 120 µs per step for the optimizer, which updates all rows")


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    bags(sparse="True"), bags(mode="2"), bags(by_frequency="True"),
], ids=["sparse already", "largest", "by frequency"])  # fmt: skip
def test_bags_whose_gradient_is_sparse_or_cannot_be(items: list[Item]) -> None:
    assert "embedding_backward" not in claims(scene(*items))


def test_of_an_update_of_a_list_a_table_has_its_elements() -> None:
    """Two tables of 50,000 x 256 and as many elements in another tensor: a third of 120 µs each."""
    listed = op("_foreach_add_", ((ROWS, WIDTH), (ROWS, WIDTH), (ROWS * WIDTH,)), ())
    graph = scene(*bags(), *bags(), annotation("Optimizer.step#SGD.step", listed), steps=2)
    assert [match.evidence.partition(", and ")[2][:6] for match in found_by(graph, "embedding_backward")] == [
        "40.0 µ", "40.0 µ"
    ]  # fmt: skip
