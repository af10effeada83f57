"""Matmuls of one input with weights of their own."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, op, scene, within
from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.step_graph import StepGraph

X: Tensor = (-1, (1, 0, 1 << 20))
WEIGHTS: tuple[Tensor, ...] = tuple((-2 - n, (2 + n, 0, 1 << 23)) for n in range(3))


def projections(
    ns: int = 60_000, dtypes: tuple[str, ...] = ("bf16",) * 3, more: tuple[Item, ...] = ()
) -> StepGraph:
    items = [
        within(f"blocks.0.{name}", op("mm", (256, 2048), (2048, 2048), dtypes=kind, ns=ns))[0]
        for name, kind in zip("qkv", dtypes, strict=True)
    ]
    return scene(*items, *more, steps=2)


def given(
    graph: StepGraph, weights: tuple[Tensor, ...] = WEIGHTS, inputs: tuple[Tensor, ...] = (X,) * 3
) -> StepGraph:
    tensors = {(place, 0): tensor for place, tensor in enumerate(inputs)}
    tensors |= {(place, 1): tensor for place, tensor in enumerate(weights)}
    return handed(graph, tensors=tensors)


def test_they_are_named_and_not_claimed() -> None:
    (match,) = found_by(given(projections()), "merged_linear")
    assert [node.module for node in match.nodes] == ["blocks.0.q", "blocks.0.k", "blocks.0.v"]
    assert match.tier == "T1" and not match.claims
    assert match.saved is None and match.after is None
    assert match.bytes_saved == 2 * 2 * 256 * 2048, "the input is read once instead of three times"


def test_what_limits_them_may_be_counted_by_another_rule() -> None:
    weight = (8192, 8192)
    items: list[Item] = [
        op("mm", (1, 8192), weight, dtypes="bf16", ns=90_000, kernel="nvjet_tst_64x8_64x16") for _ in range(3)
    ]
    assert set(claims(given(scene(*items)))) == {"merged_linear", "quantized_weights"}


def trained(*gradients: int) -> StepGraph:
    """Three projections, and a backward pass with so many matmuls for each."""
    mm = op("mm", (256, 2048), (2048, 2048), dtypes="bf16", ns=60_000)
    passes = [
        backward("MmBackward0", *[mm] * count, sequence=number) for number, count in enumerate(gradients)
    ]
    return scene(*(forward(mm, number) for number in range(3)), *passes)


def test_weights_that_are_all_trained_or_all_frozen_can_be_merged() -> None:
    assert "merged_linear" in claims(given(trained(2, 2, 2)))
    assert "merged_linear" in claims(given(trained(1, 1, 1)))


QUANTIZED = op("_weight_int8pack_mm", (1, 4096), (4096, 4096), (4096,), dtypes=("bf16", "int8", "bf16"))


@pytest.mark.left_out
@pytest.mark.parametrize("graph", [
    given(trained(2, 1, 2)),
    given(projections(more=(QUANTIZED,))),
    projections(),
    given(projections(), inputs=(X, WEIGHTS[1], WEIGHTS[2])),
    given(projections(), weights=(WEIGHTS[0],) * 3),
    given(projections(ns=4_000)),
    given(projections(dtypes=("bf16", "fp16", "bf16"))),
], ids=[
    "one is frozen", "quantized", "not proved", "other inputs", "one weight", "near their roof", "types",
])  # fmt: skip
def test_what_cannot_be_merged(graph: StepGraph) -> None:
    assert "merged_linear" not in claims(graph)
