"""Conventions a total rests on: what is read, what is only written, what counts as nothing."""

from __future__ import annotations

import pytest
import torch

from tests.cost.calls import call_of
from traceanalyzer.cost import formula_of, price_call
from traceanalyzer.records import Cost, OpCall, Unpriced

BIG = (512, 256)
BYTES = 4 * 512 * 256


def fp32(name: str, *shapes: tuple[int, ...], concrete: tuple[str, ...] = ()) -> OpCall:
    return OpCall(name, shapes, tuple("fp32" if s else None for s in shapes), (), (), concrete)


@pytest.mark.parametrize(
    "call",
    [
        fp32("aten::clamp_min", BIG, (), BIG),
        fp32("aten::exp", BIG, BIG),
        fp32("aten::sqrt", BIG, BIG),
        fp32("aten::add", BIG, (), (), BIG),
        fp32("aten::mul", BIG, (), BIG),
    ],
    ids=lambda c: c.name,
)
def test_an_out_argument_is_written_and_not_read(call: OpCall) -> None:
    cost = price_call(call)
    assert isinstance(cost, Cost)
    assert (cost.read_bytes, cost.write_bytes) == (BYTES, BYTES)


def test_an_unknown_operator_is_never_zero() -> None:
    assert price_call(fp32("my::op", BIG)) == Unpriced("no_formula")


def test_fused_adam_moves_seven_times_the_parameters() -> None:
    lists = ((BIG, (100,)),) * 4 + ((),)
    call = OpCall("aten::_fused_adamw_", lists, (None,) * 5, list_dtype="fp32")
    cost = price_call(call)
    assert isinstance(cost, Cost)
    parameters = BYTES + 400
    assert (cost.read_bytes, cost.write_bytes) == (4 * parameters, 3 * parameters)


def test_lists_without_a_known_type_are_not_priced() -> None:
    cost = price_call(OpCall("aten::cat", ((BIG, BIG), ()), (None, None)))
    assert isinstance(cost, Unpriced) and cost.reason == "no_dtype"


def test_lists_whose_dims_were_left_out_are_not_free() -> None:
    """Kineto leaves out the dims of long lists: type TensorList, dims []."""
    for name in ("aten::cat", "aten::_foreach_add_", "aten::_fused_adamw_"):
        call = OpCall(name, ((), ()), (None, None), ("TensorList", "Scalar"), list_dtype="fp32")
        cost = price_call(call)
        assert isinstance(cost, Unpriced) and cost.reason == "no_shapes", (name, cost)


def test_a_convolution_without_recorded_stride_is_not_guessed() -> None:
    call = fp32("aten::conv2d", (2, 8, 20, 20), (16, 8, 3, 3))
    cost = price_call(call)
    assert isinstance(cost, Unpriced) and cost.reason == "no_concrete_inputs"


@pytest.mark.parametrize("name", ["aten::view", "aten::empty", "aten::expand", "aten::t", "aten::as_strided"])
def test_views_and_allocations_cost_nothing(name: str) -> None:
    assert price_call(fp32(name, BIG)) == Cost(0, 0, 0)


def test_wildcards_do_not_shadow_whole_names() -> None:
    formula = formula_of("aten::_foreach_norm")
    assert formula is not None and formula.name == "aten::_foreach_norm"
    compiled = formula_of("graph_0_cpp_fused_gelu_2")
    assert compiled is not None and compiled.name == "*cpp_fused_*"


def test_triton_arguments_count_for_no_more_than_the_launch_touches() -> None:
    call = OpCall(
        "triton_poi_fused_add_0", ((100, 1024), (1024,), (8, 1024), ()), ("fp32", "fp32", "fp32", None), (),
        (), ("", "", "", "8192"),
    )  # fmt: skip
    cost = price_call(call)
    assert isinstance(cost, Cost)
    assert cost.read_bytes + cost.write_bytes == 4 * (8192 + 1024 + 8192)


def test_types_that_arguments_ask_for() -> None:
    half = OpCall("aten::mm", ((64, 64), (64, 64), ()), ("bf16", "bf16", None), (), (), ("", "", "6"))
    cost = price_call(half)
    assert isinstance(cost, Cost) and cost.write_bytes == 4 * 64 * 64
    total = OpCall("aten::sum", ((256, 256), (), (), ()), ("bf16", None, None, None), (), (),
                   ("", "[1]", "False", "6"))  # fmt: skip
    cost = price_call(total)
    assert isinstance(cost, Cost) and cost.write_bytes == 4 * 256


def test_the_bias_gradient_of_a_convolution_counts() -> None:
    ones = "[1, 1]"
    concrete = ("", "", "", "[8]", ones, ones, ones, "False", "[0, 0]", "1", "[False, False, True]")
    dims = ((2, 8, 5, 5), (2, 4, 5, 5), (8, 4, 3, 3)) + ((),) * 8
    cost = price_call(
        OpCall("aten::convolution_backward", dims, ("fp32",) * 3 + (None,) * 8, (), (), concrete)
    )
    assert isinstance(cost, Cost)
    assert (cost.flops, cost.write_bytes) == (2 * 8 * 25, 8 * 4)


def test_bags_end_where_the_last_offset_says() -> None:
    concrete = ("", "", "", "False", "0", "False", "", "True", "-1")
    dims = ((40, 16), (50,), (4,)) + ((),) * 6
    types = ("fp32", "int64", "int64") + (None,) * 6
    cost = price_call(OpCall("aten::_embedding_bag", dims, types, (), (), concrete))
    assert isinstance(cost, Cost) and cost.write_bytes == 3 * 16 * 4


def test_scaled_products_read_scales_by_their_recipe() -> None:
    """A scale a row in fp32 for A, one byte for each 32 terms for B; bf16 out."""
    dims = ((32, 128), (128, 64), ((32, 1),), (), (), ((64, 4),)) + ((),) * 6
    concrete = ("", "", "", "[1]", "[0]", "", "[3]", "[1]", "", "15", "[]", "False")
    call = OpCall("aten::_scaled_mm_v2", dims, ("fp8_e4m3",) * 2 + (None,) * 10, (), (), concrete)
    cost = price_call(call)
    assert isinstance(cost, Cost)
    assert cost.flops == 2 * 32 * 64 * 128
    assert cost.read_bytes == 32 * 128 + 128 * 64 + 32 * 4 + 64 * 4
    assert cost.write_bytes == 2 * 32 * 64


def test_a_scaled_product_without_a_type_asked_for_keeps_the_operands() -> None:
    dims = ((32, 128), (128, 64)) + ((),) * 6
    for code, size in (("", 1), ("15", 2), ("6", 4), ("26", 1)):
        call = OpCall("aten::_scaled_mm", dims, ("fp8_e4m3",) * 2 + ("fp32",) * 2 + (None,) * 4, (), (),
                      ("",) * 6 + (code, "False"))  # fmt: skip
        cost = price_call(call)
        assert isinstance(cost, Cost) and cost.write_bytes == size * 32 * 64, code


def test_batch_dimensions_of_a_product_broadcast() -> None:
    cost = price_call(fp32("aten::matmul", (5, 1, 8, 9), (3, 9, 10)))
    assert isinstance(cost, Cost)
    assert (cost.flops, cost.write_bytes) == (2 * 15 * 8 * 9 * 10, 4 * 15 * 8 * 10)


@pytest.mark.parametrize(
    "arguments, read, written",
    [(("1", "1"), 6, 2), (("0", "1"), 4, 2), (("6", "1", "1"), 6, 4), (("6", "0", "1"), 4, 4)],
    ids=str,
)
def test_the_type_asked_of_a_product_stands_before_beta(
    arguments: tuple[str, ...], read: int, written: int
) -> None:
    """addmm(S, A, B, beta, alpha) and addmm(S, A, B, out_dtype, beta, alpha); beta 0: S is not read."""
    more = (None,) * len(arguments)
    dims = ((64, 64),) * 3 + ((),) * len(arguments)
    cost = price_call(OpCall("aten::addmm", dims, ("bf16",) * 3 + more, (), (), ("", "", "", *arguments)))
    assert isinstance(cost, Cost)
    assert (cost.read_bytes, cost.write_bytes) == (read * 64 * 64, written * 64 * 64)


def test_norms_say_what_they_move_in_practice() -> None:
    x, w, stats = torch.empty(512, 1024), torch.empty(1024), torch.empty(512, 1)
    arguments = (x, x, [1024], stats, stats, w, w, [True] * 3)
    backward = price_call(call_of("aten::native_layer_norm_backward", *arguments))
    assert isinstance(backward, Cost)
    assert backward.bytes == pytest.approx(3 * 4 * 512 * 1024, rel=0.01), "compulsory"
    assert "5 passes over the activation, 10.5 MB a call" in backward.note  # 5 * 4 * 512 * 1024
    image, channel = torch.empty(8, 64, 32, 32), torch.empty(64)
    notes = {}
    for training in (True, False):
        norm = price_call(call_of("aten::native_batch_norm", image, *[channel] * 4, training, 0.1, 1e-5))
        assert isinstance(norm, Cost)
        notes[training] = norm.note
    assert "3 passes" in notes[True] and not notes[False]
