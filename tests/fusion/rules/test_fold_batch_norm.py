"""A batch normalization behind a convolution, in inference."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, inside, op, scene, within

X, C = (32, 64, 56, 56), (64,)


def convolution() -> Item:
    return op(
        "cudnn_convolution", X, (64, 64, 3, 3), (), (), (), (), (), (), (), dtypes="fp16",
        concrete=("", "", "[1, 1]", "[1, 1]", "[1, 1]", "1", "True", "False", "True"),
    )  # fmt: skip


def norm(training: str = "False", mean: tuple[int, ...] = C, kernel: str = "bn_fw_inf_1C11_kernel") -> Item:
    return op("cudnn_batch_norm", X, C, C, mean, mean, (), (), (), dtypes="fp16", kernel=kernel,
              concrete=("", "", "", "", "", training, "0.1", "1e-05"))  # fmt: skip


def test_the_normalization_goes_away() -> None:
    (match,) = found_by(handed(scene(convolution(), norm(), steps=2), (0, 1)), "fold_batch_norm")
    assert [node.name for node in match.nodes] == ["cudnn_batch_norm"] and match.tier == "T1"
    assert match.after is not None and match.after.bytes == 0
    assert match.bytes_saved == match.nodes[0].bytes > 2 * 2 * 32 * 64 * 56 * 56


@pytest.mark.left_out
def test_the_bias_of_the_convolution_may_stand_between() -> None:
    added = op("add_", X, C, dtypes="fp16")
    both = inside("_convolution", convolution(), added)
    assert "fold_batch_norm" in claims(handed(scene(both, norm()), (0, 1), (1, 2)))
    apart = scene(convolution(), added, norm())
    assert "fold_batch_norm" not in claims(handed(apart, (0, 1), (1, 2)))


@pytest.mark.left_out
@pytest.mark.parametrize("given", [
    norm("True"), norm(mean=()), norm("", kernel="bn_fw_tr_1C11_kernel_NCHW"),
], ids=["training", "statistics of the batch", "training by its kernel"])  # fmt: skip
def test_statistics_of_the_batch_cannot_be_folded(given: Item) -> None:
    assert "fold_batch_norm" not in claims(handed(scene(convolution(), given), (0, 1)))


@pytest.mark.left_out
def test_a_model_that_is_trained_is_left_alone() -> None:
    grad = backward("CudnnBatchNormBackward0", op("exp", X, dtypes="fp16"), sequence=2)
    graph = scene(forward(convolution(), 1), forward(norm(), 2), grad)
    assert "fold_batch_norm" not in claims(handed(graph, (0, 1)))


@pytest.mark.left_out
def test_a_convolution_that_another_reads_too_stays_as_it_is() -> None:
    graph = scene(convolution(), norm(), op("exp", X, dtypes="fp16"))
    assert "fold_batch_norm" not in claims(handed(graph, (0, 1), (0, 2)))


def test_a_frozen_part_beside_a_trained_one_is_folded() -> None:
    grad = backward("CudnnBatchNormBackward0", op("exp", X, dtypes="fp16"), sequence=2)
    frozen = within("teacher.stem", convolution(), norm())
    trained = within("stem", forward(convolution(), 1), forward(norm(), 2))
    graph = handed(scene(*frozen, *trained, grad), (0, 1), (2, 3))
    (match,) = found_by(graph, "fold_batch_norm")
    assert match.nodes[0].module == "teacher.stem"


@pytest.mark.left_out
def test_an_evaluated_normalization_whose_neighbors_are_trained_stays() -> None:
    grad = backward("ConvolutionBackward0", op("exp", X, dtypes="fp16"), sequence=1)
    half = within("net.stem", forward(convolution(), 1), norm())
    assert "fold_batch_norm" not in claims(handed(scene(*half, grad), (0, 1)))
