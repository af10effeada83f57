"""Gated layers, and activations that are multiplied by something else."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, op, scene
from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.rules.gated_activation import find
from traceanalyzer.fusion.step_graph import Free

X = (2048, 4096)
BYTES = 4 * 2048 * 4096
SILU, MUL, MM = op("silu", X), op("mul", X, X), op("mm", (2048, 512), (512, 4096))
INPUT: Tensor = (-1, (1, 0, BYTES))
OTHER: Tensor = (-2, (2, 0, BYTES))


def test_a_layer_lies_between_gate_and_product() -> None:
    (match,) = found_by(scene(SILU, MM, MUL), "gated_activation")
    assert [node.name for node in match.nodes] == ["silu", "mul"] and match.tier == "T3"
    assert match.bytes_saved == 2 * BYTES, "of five passes three remain"


def test_in_training_backward_reads_the_gate() -> None:
    layer = forward(SILU, 1), forward(MM, 2), forward(MUL, 3)
    (match,) = found_by(scene(*layer, backward("MulBackward0", MUL, sequence=3)), "gated_activation")
    assert match.bytes_saved == BYTES


def test_a_gate_of_two_products_is_claimed_once() -> None:
    graph = handed(scene(SILU, MM, MUL, MM, MUL), (0, 2), (0, 4))
    (match,) = find(graph, Free())
    assert [node.place for node in match.nodes] == [0, 2]


@pytest.mark.left_out
def test_weights_that_are_quantized_are_not_joined() -> None:
    quantized = op("_weight_int8pack_mm", (1, 4096), (4096, 4096), (4096,), dtypes=("bf16", "int8", "bf16"))
    (match,) = found_by(scene(SILU, MM, MUL, quantized), "gated_activation")
    assert match.action and "one matmul" not in match.action


def test_neighbors_are_a_gate_too() -> None:
    assert claims(handed(scene(SILU, MUL), (0, 1)))["gated_activation"] == [("silu", "mul")]


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    (op("silu", (64, 64)), MM, MUL),        # of another size
    (op("silu"), MM, op("mul", (), ())),    # sizes that are not recorded are not alike
    (SILU, MM, op("mul", X, ())),           # scaled by a number
    (SILU, MM, op("mul", X, (4096,))),      # by a vector
    (op("silu_and_mul", X), MM),            # one kernel already
], ids=["size", "unknown", "number", "vector", "fused"])  # fmt: skip
def test_what_is_no_gate(items: tuple[Item, ...]) -> None:
    assert "gated_activation" not in claims(scene(*items))


@pytest.mark.left_out
@pytest.mark.parametrize("factor, gated", [(OTHER, True), (INPUT, False), (None, False)])
def test_a_sigmoid_is_a_gate_where_it_multiplies_another_tensor(factor: Tensor | None, gated: bool) -> None:
    tensors: dict[tuple[int, int], Tensor] = {(0, 0): INPUT, (1, 1): (0, (3, 0, BYTES))}
    if factor is not None:
        tensors[1, 0] = factor
    graph = handed(scene(op("sigmoid", X), MUL), (0, 1), tensors=tensors)
    assert ("gated_activation" in claims(graph)) is gated
    assert ("pointwise_chain" in claims(graph)) is not gated
