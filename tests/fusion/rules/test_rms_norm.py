"""RMSNorm written out, what only looks like it, and `rms_norm` itself."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, annotation, claims, found_by, handed, inside, op, scene

ROWS, C = 16 * 512, 1024
X, ONE = (16, 512, C), (16, 512, 1)
N = ROWS * C


def written(over: str = "[-1]", square: str = "pow") -> tuple[Item, ...]:
    return (
        op("copy_", X, X, (), dtypes=("fp32", "bf16", None)), op(square, X, ()),
        op("mean", X, (), (), (), concrete=("", over, "True", "")), op("add", ONE, (), ()), op("rsqrt", ONE),
        op("mul", X, ONE), op("copy_", X, X, (), dtypes=("bf16", "fp32", None)),
        op("mul", (C,), X, dtypes="bf16"),
    )  # fmt: skip


def test_all_of_it_is_one_read_and_one_write() -> None:
    graph = handed(scene(*written()), *((i, i + 1) for i in range(7)), (0, 5))
    (match,) = found_by(graph, "rms_norm")
    assert len(match.nodes) == 8 and match.tier == "T1"
    assert match.after is not None and match.after.bytes == 2 * N + 2 * N, "bf16 in and out"
    casts, square, mean, small, products = 12 * N, 8 * N, 4 * N, 20 * ROWS, 12 * N + 4 * ROWS + 2 * C
    assert match.bytes_saved == casts + square + mean + small + products - 4 * N


def test_without_evidence_the_order_makes_it_likely() -> None:
    assert [match.tier for match in found_by(scene(*written()), "rms_norm")] == ["T3"]


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    (op("sub", X, ONE), *written()[1:]),                        # a layer normalization
    (op("sub", X, ONE), *written()),                            # and one with a cast
    written("[1]"),                                             # over another dimension
    (*written()[:5], op("mul", ONE, ONE)),                      # a root of a mean square, and no more
    (inside("rms_norm", *written()),),                          # called already
    (annotation("Optimizer.step#Adafactor.step", *written()),),  # scales of an optimizer
    (op("_fused_rms_norm", X, (), (C,), (), dtypes="bf16", concrete=("", "[1024]", "", "1e-05")),),
], ids=["layer_norm", "cast", "dimension", "loss", "called", "optimizer", "fused"])  # fmt: skip
def test_what_is_none_or_is_done_already(items: tuple[Item, ...]) -> None:
    assert "rms_norm" not in claims(scene(*items, op("mm", (64, 64), (64, 64))))


def test_without_a_recorded_dimension_it_is_likely() -> None:
    assert "rms_norm" in claims(scene(*written("")))
