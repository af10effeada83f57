"""Gated layers, and activations that are multiplied by something else."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, op, scene, within
from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.rules.gated_activation import find
from traceanalyzer.fusion.step_graph import Free
from traceanalyzer.fusion.suggestions import suggestions

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


@pytest.mark.parametrize("activation, gate, others", [
    ("silu", "SwiGLU", ("GeGLU", "ReGLU")), ("gelu", "GeGLU", ("SwiGLU", "ReGLU")),
    ("relu", "ReGLU", ("SwiGLU", "GeGLU")), ("sigmoid", "GLU", ("SwiGLU", "GeGLU", "ReGLU")),
])  # fmt: skip
def test_a_gate_is_called_by_its_own_activation(
    activation: str, gate: str, others: tuple[str, ...]
) -> None:  # fmt: skip
    layer = within("blocks.3.mlp", op(activation, X), MM, MUL)
    told = next(s for s in suggestions(scene(*layer)).found or () if s.rule == "gated_activation")
    assert f"({gate})" in told.title and f"# {gate}: " in told.snippet
    assert f"{activation}(gate)" in told.snippet
    assert told.snippet.endswith("\nmodel.blocks[3].mlp = torch.compile(model.blocks[3].mlp)")
    words = f"{told.title} {told.action} {told.snippet}"
    assert not [other for other in others if other in words]


def test_gates_of_two_kinds_are_told_apart() -> None:
    graph = handed(scene(SILU, MM, MUL, MM, op("gelu", X), MM, MUL), (0, 2), (4, 6))
    told = [each for each in suggestions(graph).found or () if each.rule == "gated_activation"]
    assert {each.title for each in told} == {
        f"A gated activation ({gate}) runs as separate kernels" for gate in ("SwiGLU", "GeGLU")
    }
    assert [each.count for each in told] == [1, 1]


def test_the_gradient_of_a_gate_bears_its_name() -> None:
    grads = backward("MulBackward0", MUL, op("gelu_backward", X, X), sequence=2)
    graph = handed(scene(forward(op("gelu", X), 1), forward(MUL, 2), grads), (0, 1))
    assert all("GeGLU" in match.title for match in found_by(graph, "gated_activation"))
