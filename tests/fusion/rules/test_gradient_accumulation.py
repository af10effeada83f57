"""Gradients that several backward passes add to."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, annotation, backward, claims, forward, found_by, inside, op, scene

W = (1024, 1024)
G = 4 * 1024 * 1024
ADDED = op("add_", W, W, ())
STEP = annotation("Optimizer.step#SGD.step", op("_fused_sgd_", (W,), (W,)))


def batch(number: int) -> tuple[Item, ...]:
    return (
        forward(op("mm", (64, 1024), W), number),
        backward("MmBackward0", op("mm", (1024, 64), (64, 1024)), sequence=number),
        backward("torch::autograd::AccumulateGrad", ADDED),
    )


def test_all_passes_but_the_first_add() -> None:
    (match,) = found_by(scene(*batch(1), *batch(2), *batch(3), STEP), "gradient_accumulation")
    assert [node.name for node in match.nodes] == ["add", "add"] and match.tier == "T3"
    assert match.bytes_saved == 2 * 3 * G, "the sum and the gradient are read, the sum is written"
    assert match.saved is not None and match.saved.low == 0
    assert match.saved.high == sum(node.time_ns for node in match.nodes)
    assert "2 additions to gradients per step" in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    (*batch(1), STEP),
    (*batch(1), STEP, *batch(2), STEP),                                     # two optimizers, or two steps
    (*batch(1), inside("c10d::send"), *batch(2), inside("c10d::recv_"), STEP),  # stages of a pipeline
], ids=["one", "steps", "pipeline"])  # fmt: skip
def test_what_accumulates_nothing_or_must(items: tuple[Item, ...]) -> None:
    assert "gradient_accumulation" not in claims(scene(*items))
