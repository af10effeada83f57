"""A loss over many classes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import Item, backward, claims, forward, found_by, op, scene

TOKENS, CLASSES = 4096, 50_304
LOGITS = TOKENS * CLASSES


def loss(classes: int = CLASSES, dims: bool = True) -> list[Item]:
    x = (TOKENS, classes) if dims else ()
    return [
        forward(op("_log_softmax", x, (), (), concrete=("", "1", "False"), ns=900_000), 1),
        forward(op("nll_loss_forward", x, (TOKENS,), (), (), (), dtypes=("fp32", "int64", None, None, None),
                   concrete=("", "", "", "1", "-100")), 2),
        backward("NllLossBackward0", op(
            "nll_loss_backward", (), x, (TOKENS,), (), (), (), (), ns=500_000,
            dtypes=("fp32", "fp32", "int64", None, None, None, "fp32"),
            concrete=("", "", "", "", "1", "-100", "")), sequence=2),
        backward("LogSoftmaxBackward0", op(
            "_log_softmax_backward_data", x, x, (), (), concrete=("", "", "1", "6"),
            ns=1_300_000), sequence=1),
    ]  # fmt: skip


def test_both_passes_are_claimed() -> None:
    first, second = found_by(scene(*loss(), steps=2), "cross_entropy")
    assert [node.name for node in first.nodes] == ["_log_softmax", "nll_loss_forward"]
    assert [node.name for node in second.nodes] == ["nll_loss_backward", "_log_softmax_backward_data"]
    assert first.after is not None and first.after.bytes == 4 * LOGITS, "the logits are read once"
    assert second.after is not None and second.after.bytes == 2 * 4 * LOGITS, "read, and gradients written"
    for match in (first, second):
        assert match.bytes_saved is not None and match.after is not None
        assert match.bytes_saved == sum(node.bytes for node in match.nodes) - match.after.bytes


@pytest.mark.left_out
@pytest.mark.parametrize("items", [loss(classes=10), loss(dims=False)], ids=["few classes", "no dims"])
def test_a_loss_that_takes_no_time_is_left(items: list[Item]) -> None:
    assert "cross_entropy" not in claims(scene(*items))


@pytest.mark.left_out
def test_a_loss_that_is_compiled_is_left() -> None:
    compiled = [replace(item, call=replace(item.call, triton=True)) for item in loss()[:2] if item.call]
    assert "cross_entropy" not in claims(scene(*compiled))


def test_a_softmax_alone_is_no_loss() -> None:
    assert "cross_entropy" not in claims(scene(loss()[0], op("exp", (TOKENS, CLASSES))))
