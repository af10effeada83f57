"""An activation behind a matmul."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, op, scene
from traceanalyzer.fusion.suggestions import suggestions

SHAPE = (4096, 4096)


def items(name: str = "gelu") -> list[Item]:
    return [
        forward(op("addmm", (4096,), SHAPE, SHAPE, (), (), dtypes="bf16", ns=300_000), 1),
        forward(op(name, SHAPE, dtypes="bf16", ns=40_000), 2),
    ]  # fmt: skip


def test_in_inference_its_read_and_write_may_be_saved() -> None:
    (match,) = found_by(handed(scene(*items(), steps=2), (0, 1)), "activation_epilogue")
    assert [node.name for node in match.nodes] == ["gelu"] and match.tier == "T3"
    assert match.saved is not None and match.saved.low == 0
    assert match.saved.high == 0.8 * match.nodes[0].time_ns


def test_in_training_no_more_than_its_read() -> None:
    grad = backward("GeluBackward0", op("gelu_backward", SHAPE, SHAPE, dtypes="bf16"), sequence=2)
    (match,) = found_by(handed(scene(*items(), grad), (0, 1)), "activation_epilogue")
    assert match.saved is not None and match.saved.high == 0.5 * match.nodes[0].time_ns


@pytest.mark.left_out
def test_what_stands_elsewhere_is_none() -> None:
    assert "activation_epilogue" not in claims(handed(scene(*items("exp")), (0, 1)))
    apart = scene(op("mean", SHAPE, dtypes="bf16"), op("gelu", SHAPE, dtypes="bf16"))
    assert "activation_epilogue" not in claims(handed(apart, (0, 1)))


@pytest.mark.left_out
def test_the_compiler_generates_no_matmul_for_a_small_gpu() -> None:
    graph = scene(*items(), device="t4")
    assert "activation_epilogue" not in claims(handed(graph, (0, 1)))


@pytest.mark.left_out
@pytest.mark.parametrize("trained", [True, False])
def test_a_cpu_is_never_told_to_search_for_its_matmuls(trained: bool) -> None:
    grad = backward("GeluBackward0", op("gelu_backward", SHAPE, SHAPE, dtypes="bf16"), sequence=2)
    graph = handed(scene(*items(), *[grad] * trained, on_cpu=True), (0, 1))
    assert "activation_epilogue" not in claims(graph)
    assert not [
        told for told in suggestions(graph).found or () if "max-autotune" in told.snippet + told.action
    ]
