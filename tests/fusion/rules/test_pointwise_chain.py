"""Chains of element-wise operators, and where compiling a module reaches none of them."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import (
    Item,
    annotation,
    backward,
    claims,
    forward,
    found_by,
    inside,
    op,
    scene,
    within,
)
from traceanalyzer.fusion.suggestions import suggestions

X = (4096, 4096)
BYTES = 4 * 4096 * 4096
EXP, LOG, MUL, MM = op("exp", X), op("log", X), op("mul", X, X), op("mm", X, X)


def test_a_chain_is_one_kernel() -> None:
    (match,) = found_by(scene(EXP, LOG, MUL, MM, freed=True), "pointwise_chain")
    assert [node.name for node in match.nodes] == ["exp", "log", "mul"]
    assert match.tier == "T2" and match.after is not None
    assert match.after.bytes == 3 * BYTES, "x and the other factor are read, the product is written"
    assert match.bytes_saved == 4 * BYTES, "two tensors in between, each written and read"


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    (EXP, MM, LOG),                                        # a matmul between them
    (EXP, op("log", (64, 64)), MM),                        # of another size
    (op("zero_", X), EXP, MM),                             # zeros that are filled in are read by none
    (op("exp", X, triton=True), op("log", X, triton=True), MM),  # compiled already
    (inside("mylib::fused_layer", EXP, LOG, MUL), MM),     # called as a whole, compiled or not
    (annotation("Optimizer.step#RMSprop.step", EXP, LOG, MUL), MM),
    (op("exp", X, dtypes="complex64"), op("log", X, dtypes="complex64"), MM),
], ids=["matmul", "size", "zeros", "compiled", "library", "optimizer", "complex"])  # fmt: skip
def test_what_compiling_the_module_does_not_join(items: tuple[Item, ...]) -> None:
    assert "pointwise_chain" not in claims(scene(*items, freed=True))


LAYER = forward(op("mm", X, X), 1), backward("MmBackward0", op("mm", X, X), sequence=1)
AVERAGES = op("exp", X), op("log", X), op("abs", X)


@pytest.mark.left_out
def test_work_between_backward_and_the_next_forward_pass_is_no_modules() -> None:
    assert "pointwise_chain" not in claims(scene(*LAYER, *AVERAGES))
    assert "pointwise_chain" in claims(scene(*AVERAGES)), "a step that trains nothing has no phases"


def test_a_model_that_runs_without_gradients_beside_another_is_one() -> None:
    assert "pointwise_chain" in claims(scene(MM, *AVERAGES, *LAYER)), "a teacher, or an encoder of images"


def test_an_operator_of_pytorch_itself_hides_nothing() -> None:
    assert "pointwise_chain" in claims(scene(inside("softplus_of_two", EXP, LOG, MUL), MM, freed=True))


NORM = op("native_layer_norm", X, (), (4096,), (4096,), (), concrete=("", "[4096]", "", "", "1e-05"))
RMS = inside("rms_norm", op("mul", X, X), op("rsqrt", X), op("mul", X, X))


@pytest.mark.parametrize("items, held", [
    ((EXP, NORM, MUL), "a layer norm"), ((EXP, RMS, MUL), "an RMS norm"), ((EXP, op("rsqrt", X), MUL), ""),
], ids=["layer norm", "rms norm", "a root alone"])  # fmt: skip
def test_a_norm_in_the_chain_is_named(items: tuple[Item, ...], held: str) -> None:
    graph = scene(*items, MM, freed=True)
    (match,) = found_by(graph, "pointwise_chain")
    assert match.holds == held
    (told,) = [each for each in suggestions(graph).found or () if each.rule == "pointwise_chain"]
    assert told.evidence.endswith(f"per step, with {held}" if held else "per step")


def test_of_several_chains_it_is_said_how_many_hold_a_norm() -> None:
    graph = scene(EXP, NORM, MUL, MM, EXP, LOG, MUL, MM, EXP, NORM, MUL, MM, freed=True)
    (told,) = [each for each in suggestions(graph).found or () if each.rule == "pointwise_chain"]
    assert told.count == 3 and told.evidence.endswith(", 2 of them with a layer norm")


def test_what_lies_outside_of_all_modules_is_compiled_by_itself() -> None:
    graph = scene(*within("block", EXP, LOG, MUL), MM, EXP, LOG, MUL, freed=True)
    snippets = {
        each.where: each.snippet for each in suggestions(graph).found or () if each.rule == "pointwise_chain"
    }
    assert snippets == {
        "block": "model.block = torch.compile(model.block)",
        "": "compute_loss = torch.compile(compute_loss)",
    }
