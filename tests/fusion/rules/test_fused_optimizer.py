"""Optimizers in many passes, and those that fusing does not help."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import Item, annotation, backward, claims, forward, found_by, op, scene
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.rules.fused_optimizer import find
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.fusion.suggestions import suggestions

X = (4096, 4096)
P = 4 * 4096 * 4096
ADAMW = (
    op("mul_", X, ()), op("lerp_", X, X, ()), op("mul_", X, ()), op("addcmul_", X, X, X, ()), op("sqrt", X),
    op("div_", X, ()), op("add_", X, (), ()), op("addcdiv_", X, X, X, ()),
)  # fmt: skip
ADAMW_PASSES = 2 + 3 + 2 + 4 + 2 + 2 + 2 + 4


def step(name: str, *items: Item) -> Item:
    return annotation(f"Optimizer.step#{name}.step", *items)


def fused(*items: Item) -> list[Match]:
    return found_by(scene(*items), "fused_optimizer")


def test_adamw_reads_four_values_and_writes_three() -> None:
    (match,) = fused(step("AdamW", *ADAMW))
    assert match.after is not None and match.after.bytes == 7 * P
    assert match.bytes_saved == (ADAMW_PASSES - 7) * P
    assert len(match.nodes) == 8 and match.tier == "T0" and match.where == "optimizer AdamW"


def test_lists_are_passes_too() -> None:
    lists = [op(f"_foreach_{name}", ((4096, 4096), (64,)), *more) for name, more in (
        ("lerp_", (((4096, 4096), (64,)), ())), ("mul_", ((),)),
        ("addcdiv_", (((4096, 4096), (64,)), ((4096, 4096), (64,)), ())),
    )]  # fmt: skip
    (match,) = fused(step("Adam", *lists))
    assert match.after is not None and match.after.bytes == 7 * (P + 4 * 64)


def test_amsgrad_has_one_state_more() -> None:
    (match,) = fused(step("Adam", *ADAMW, op("maximum", X, X)))
    assert match.after is not None and match.after.bytes == 9 * P


@pytest.mark.parametrize("items, passes", [
    ((op("mul_", X, ()), op("add_", X, X, ()), op("add_", X, X, ())), 5),  # momentum: buffer, then parameter
    ((op("add", X, X, ()), op("add_", X, X, ())), 3),                      # weight decay: gradient, parameter
])  # fmt: skip
def test_sgd_has_a_state_with_momentum_only(items: tuple[Item, ...], passes: int) -> None:
    (match,) = fused(step("SGD", *items))
    assert match.after is not None and match.after.bytes == passes * P
    assert "torch.optim.SGD(" in match.snippet and "fused=True" in match.snippet


@pytest.mark.left_out
@pytest.mark.parametrize("item", [
    step("AdamW", op("_fused_adamw_", (X,), (X,), (X,), (X,))),   # fused already
    step("NAdam", *ADAMW), step("SparseAdam", *ADAMW),            # has no fused form
    step("FusedAdam", *ADAMW),                                    # a library's: fused by itself
    annotation("optimizer", *ADAMW),                              # of no known class
    step("Adagrad", op("coalesce"), *ADAMW),                      # sparse gradients
    step("SGD", op("_indices", kernels=()), op("add_", X, X, ())),
    step("Adam", op("view_as_real", kernels=()), *ADAMW),         # complex parameters
    step("AdamW", *(replace(each, kernels=()) for each in ADAMW)),  # on CPU tensors, beside a GPU
], ids=[
    "fused", "nadam", "sparse_adam", "library", "unnamed", "coalesce", "indices", "complex", "cpu",
])  # fmt: skip
def test_what_fusing_does_not_help(item: Item) -> None:
    assert "fused_optimizer" not in claims(scene(item, op("mm", X, X)))


def test_sparse_gradients_of_another_optimizer_do_not_count() -> None:
    (match,) = fused(step("SGD", op("coalesce")), step("AdamW", *ADAMW))
    assert match.where == "optimizer AdamW"


def test_without_dims_nothing_is_claimed() -> None:
    assert not fused(step("AdamW", *(op(each.name) for each in ADAMW)))


def test_on_a_cpu_what_lies_between_the_operators_goes_too() -> None:
    asked = op("is_same_size", ns=40_000)  # dispatch, which does no work
    items = (asked, *(each for worker in ADAMW for each in (worker, asked)))
    graph = scene(step("AdamW", *items), op("mm", X, X), on_cpu=True)
    (match,) = found_by(graph, "fused_optimizer")
    ops, row = graph.trace.ops, graph.trace.ops.parent[match.nodes[0].row]
    before = ops.start_ns[match.nodes[0].row] - ops.start_ns[row]  # as when parameters are collected
    assert match.between is not None and before > 40_000
    worked = sum(node.time_ns for node in match.nodes)
    assert match.between.high + worked + before == ops.end_ns[row] - ops.start_ns[row]
    assert match.between.high > len(ADAMW) * 40_000 > match.between.low > 0


def test_what_others_do_between_the_operators_stays() -> None:
    """Another rule has claimed an operator of 5 ms in the midst of them: it is no time of the host's."""
    items = (*ADAMW[:4], op("zero_", X, ns=5_000_000), *ADAMW[4:])
    graph = scene(step("AdamW", *items), op("mm", X, X), on_cpu=True)
    (match,) = find(graph, Free(frozenset({4})))
    assert len(match.nodes) == 8
    assert match.between is not None and match.between.high < 5_000_000


MS = 1_000_000
PASSES = (
    forward(op("mm", X, X, ns=20 * MS), 1), op("argmax", X, ns=5 * MS), op("is_same_size", ns=9 * MS),
    annotation("Optimizer.zero_grad#AdamW.zero_grad", op("zero_", X, ns=2 * MS)),
    backward("MmBackward0", op("mm", X, X, ns=30 * MS), sequence=1),
)  # fmt: skip


def closed(on_cpu: bool, *items: Item) -> StepGraph:
    """A step that is given a closure, as trainers do: it runs both passes inside of it."""
    return scene(step("AdamW", *items, *ADAMW), steps=2, on_cpu=on_cpu)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_what_a_closure_runs_is_not_the_optimizers(on_cpu: bool) -> None:
    (match,) = found_by(closed(on_cpu, *PASSES), "fused_optimizer")
    assert [node.call.name for node in match.nodes] == [each.name for each in ADAMW]
    assert match.bytes_saved == (ADAMW_PASSES - 7) * P
    assert match.between is None


def test_a_model_that_is_called_in_a_closure_is_not_the_optimizers() -> None:
    model = annotation("nn.Module: Net", op("mm", X, X, ns=20 * MS))  # without gradients
    (match,) = found_by(closed(True, model), "fused_optimizer")
    assert len(match.nodes) == 8 and match.between is None


def test_with_a_closure_no_more_is_promised_than_the_operators_take() -> None:
    """Eight operators of 4 ms in a step of 98: of the other 66 ms nothing goes away."""
    slow = [replace(each, kernels=(("kernel", 4 * MS),)) for each in ADAMW]
    graph = scene(step("AdamW", *PASSES, *slow), steps=2, on_cpu=True)
    (told,) = [each for each in suggestions(graph).found or () if each.rule == "fused_optimizer"]
    band = told.saving_per_step_ns
    assert band is not None and 0 < band.mid <= band.high <= 32 * MS


def test_gradients_that_are_clipped_after_the_closure_are_not_the_optimizers() -> None:
    """Lightning clips inside of `step`. The optimizer begins with its count of steps."""
    clipping = (op("linalg_vector_norm", X), op("clamp", ()), op("mul_", X, ()), op("mul_", X, ()))
    (match,) = found_by(closed(True, *PASSES, *clipping, op("add_", (), ())), "fused_optimizer")
    assert [node.call.name for node in match.nodes] == ["aten::add_", *(each.name for each in ADAMW)]


def test_a_step_in_a_hook_of_a_gradient_is_an_optimizers() -> None:
    """Each gradient is used as soon as it is there: the backward pass encloses the steps."""
    hooked = backward("torch::autograd::AccumulateGrad", step("AdamW", *ADAMW))
    (match,) = found_by(scene(forward(op("mm", X, X), 1), backward("MmBackward0", op("mm", X, X), sequence=1),
                              hooked, steps=2, on_cpu=True), "fused_optimizer")  # fmt: skip
    assert len(match.nodes) == 8 and match.between is not None


def test_a_device_does_not_wait_for_what_lies_between() -> None:
    (match,) = fused(step("AdamW", *ADAMW))
    assert match.between is None
