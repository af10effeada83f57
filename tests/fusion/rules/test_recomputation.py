"""A forward pass that runs again in the backward pass."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, op, scene
from traceanalyzer.fusion.savings import WIDEST
from traceanalyzer.fusion.step_graph import StepGraph

SHAPE = (2048, 2048)


def again(*items: Item) -> StepGraph:
    """The items once in the forward pass, and again in the node of a checkpoint."""
    inner = [forward(item, 20 + number) for number, item in enumerate(items)]
    grad = backward("GeluBackward0", op("gelu_backward", SHAPE, SHAPE, dtypes="bf16"), sequence=20)
    node = backward("CheckpointFunctionBackward", *inner, grad, sequence=9)
    return scene(forward(op("CheckpointFunction", kernels=(), inner=items), 9), node, steps=2)


MM, SIN = op("mm", SHAPE, SHAPE, dtypes="bf16"), op("sin", SHAPE, dtypes="bf16", ns=40_000)


def test_what_is_computed_again_is_claimed() -> None:
    (match,) = found_by(again(MM, SIN), "recomputation")
    assert [node.name for node in match.nodes] == ["mm", "sin"] and match.tier == "T0"
    assert {node.phase for node in match.nodes} == {"recompute"}
    assert match.saved is not None
    assert match.saved.low == 120_000, "at least the matmul, which a selective policy keeps"
    assert match.saved.high == 160_000 <= WIDEST * match.saved.low


@pytest.mark.left_out
def test_what_another_rule_speeds_up_is_not_counted_again() -> None:
    chain = [op("sin", SHAPE, dtypes="bf16"), op("cos", SHAPE, dtypes="bf16")]
    graph = again(MM, *chain)
    assert ("sin", "cos") in claims(graph)["pointwise_chain"]
    (match,) = found_by(graph, "recomputation")
    assert [node.name for node in match.nodes] == ["mm"]
    assert match.saved is not None and match.saved.high == 120_000
    assert "no other suggestion" in match.evidence


@pytest.mark.left_out
def test_a_selective_policy_keeps_matmuls_already() -> None:
    assert "recomputation" not in claims(again(SIN))


def test_a_forward_pass_that_runs_once_has_no_price() -> None:
    grad = backward("MmBackward0", op("mm", SHAPE, SHAPE, dtypes="bf16"), sequence=1)
    assert "recomputation" not in claims(scene(forward(MM, 1), grad))
