"""Inductor's kernels: the elements of a launch from its arguments, its FLOPs from its name."""

from __future__ import annotations

from math import prod

import pytest
from msgspec.structs import replace

from traceanalyzer.cost import price_call
from traceanalyzer.cost.formulas.triton import nominal_flops
from traceanalyzer.records import Cost, OpCall, Unpriced


def launch(name: str, *arguments: tuple[int, ...] | int) -> OpCall:
    """A launch with fp32 tensors (dims) and integers in this order; () is a tensor of zero dimensions."""
    is_tensor = [isinstance(a, tuple) for a in arguments]
    return OpCall(
        name=name,
        shapes=tuple(a if isinstance(a, tuple) else () for a in arguments),
        dtypes=tuple("fp32" if t else None for t in is_tensor),
        types=tuple("float" if t else "Scalar" for t in is_tensor),
        input_strides=tuple(_contiguous(a) if isinstance(a, tuple) else () for a in arguments),
        concrete=tuple("" if isinstance(a, tuple) else str(a) for a in arguments),
    )


def _contiguous(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(dims[i + 1 :]) for i in range(len(dims)))


def priced(name: str, *arguments: tuple[int, ...] | int) -> Cost:
    """Its cost, which must be known."""
    cost = price_call(launch(name, *arguments))
    assert isinstance(cost, Cost)
    return cost


def flops(name: str) -> tuple[int, int]:
    """FLOPs and special functions an element."""
    cost = priced(name, (10,), (10,), 10)
    assert cost.flops is not None
    return cost.flops // 10, cost.special_functions // 10


@pytest.mark.parametrize("ops", [
    "expand", "constant_pad_nd", "arange", "select", "new_zeros", "select_backward_slice_backward", "clone",
    "_to_copy_view", "_unsafe_view_clone_transpose", "embedding", "cat", "full_like", "permute", "",
    "all_gather_into_tensor_wait_tensor", "addmm_view", "some_op_never_heard_of",
])  # fmt: skip
def test_moving_elements_is_no_arithmetic(ops: str) -> None:
    assert flops(f"triton_poi_fused_{ops}_0") == (0, 0)


@pytest.mark.parametrize(("name", "expected"), [
    ("triton_poi_fused_add_0", (1, 0)),
    ("triton_poi_fused_add_relu_12", (1, 0)),
    ("triton_poi_fused_exp_expand_3", (1, 1)),
    ("triton_poi_fused_gelu_0", (5, 1)),
    ("triton_poi_fused_ge_gelu_where_0", (7, 1)),
    ("triton_poi_fused_add_mul_sigmoid_sigmoid_backward_0", (6, 1)),
    ("triton_poi_fused__to_copy_clamp_min_lerp_0", (4, 0)),
    ("triton_poi_fused___and___bitwise_and_0", (2, 0)),
    ("triton_poi_fused_add__to_copy_mul_0", (2, 0)),
    ("triton_poi_fused_native_dropout_native_dropout_backward_0", (2, 0)),
    ("triton_poi_fused_log2_0", (1, 1)),
    ("triton_red_fused_sum_0", (1, 0)),
    ("triton_per_fused__softmax_0", (4, 1)),
    ("triton_per_fused_mul__softmax_0", (5, 1)),
    ("triton_red_fused__log_softmax_0", (4, 1)),
    ("triton_per_fused_add_native_layer_norm_7", (8, 0)),
    ("triton_red_fused__fused_rms_norm_0", (4, 0)),
    ("triton_red_fused__fused_rms_norm__fused_rms_norm_backward_mul_2", (16, 0)),
    ("triton_per_fused_add_mean_mul_pow_rsqrt_1", (5, 2)),
    ("triton_poi_fused_0", (0, 0)),
])  # fmt: skip
def test_flops_are_those_of_the_ops_in_the_name(name: str, expected: tuple[int, int]) -> None:
    if name.startswith("triton_poi"):
        assert flops(name) == expected
    else:
        cost = priced(name, (4, 10), (4,), 4, 10)
        assert (cost.flops, cost.special_functions) == (expected[0] * 40, expected[1] * 40)


def test_an_op_that_is_not_known_has_no_count() -> None:
    assert nominal_flops("never_heard_of") is None
    assert nominal_flops("view") == (0, 0)
    assert nominal_flops("mul") == (1, 0)


def moved(name: str, *arguments: tuple[int, ...] | int) -> tuple[int | None, int | None]:
    """Elements read and written."""
    cost = priced(name, *arguments)
    assert cost.read_bytes is not None and cost.write_bytes is not None
    return cost.read_bytes // 4, cost.write_bytes // 4


def test_a_static_launch() -> None:
    assert moved("triton_poi_fused_add_0", (8, 16), (16,), (8, 16), 128) == (144, 128)


def test_a_slice_of_an_argument_counts_for_the_launch_only() -> None:
    assert moved("triton_poi_fused_add_0", (1000, 16), (8, 16), 128) == (128, 128)


def test_symbolic_dims_before_the_sizes_are_no_sizes() -> None:
    """What counts is 888, not the product of all: 1e15."""
    arguments = ((1000, 888), (888,), 0, 25136, 201088, 201088, 0, 888)
    assert moved("triton_poi_fused_add_0", *arguments) == (888, 888)
    assert priced("triton_poi_fused_add_0", *arguments).flops == 888
    assert moved("triton_poi_fused_clone_0", (512, 4, 64), (4, 64), 4, 256) == (256, 256)


def test_a_grid_of_two_dimensions() -> None:
    name = "triton_poi_fused_clone_transpose_0"
    assert moved(name, (64, 100), (100, 64), 64, 100) == (6400, 6400)
    assert moved(name, (9, 64, 100), (100, 64), 7, 64, 100) == (6400, 6400)


def test_a_result_in_place_of_the_first_argument_is_not_cut_to_the_broadcast_last() -> None:
    assert moved("triton_poi_fused_add_0", (64, 100), (100,), 64, 100) == (6400, 100)


def test_reductions_have_two_sizes_at_least() -> None:
    for kind in ("red", "per"):
        name = f"triton_{kind}_fused_sum_0"
        assert moved(name, (64, 100), (64,), 64, 100) == (6400, 64)
        assert moved(name, (64, 100), (64,), 64, 64, 100) == (6400, 64)
        assert moved(name, (5000, 100), (64,), 3, 64, 100) == (6400, 64)
        assert moved(name, (2, 32, 100), (2, 32, 3), 64, 3, 100) == (6400, 192)
        assert priced(name, (64, 100), (64,), 64, 100).flops == 6400


def test_a_persistent_reduction_without_its_r_has_no_cap() -> None:
    assert moved("triton_per_fused_sum_0", (64, 100), (64,), 64) == (6400, 64)


def test_a_result_of_zero_dimensions_does_not_widen_the_launch() -> None:
    assert moved("triton_poi_fused_select_0", (5000, 100), (), 1) == (1, 0)
    assert moved("triton_per_fused_sum_0", (5000,), (72,), (), 1, 72)[0] == 72 + 72


def test_a_larger_result_is_written_for_the_launch_only() -> None:
    assert moved("triton_poi_fused_index_put_0", (64, 10), (5000, 10), 640) == (640, 640)


def test_without_sizes_the_arguments_count_in_full() -> None:
    assert moved("triton_poi_fused_add_0", (64, 10), (64, 10)) == (640, 640)
    assert moved("triton_for_fused_0", (64,), (30,), (64,), (30,), 64, 30) == (158, 30)


def test_a_slice_of_the_last_argument_of_a_reduction_counts_for_the_launch_only() -> None:
    assert moved("triton_red_fused_split_3", (98304,), (16384, 2304), 98304, 128) == (98304, 98304 * 128)


def test_a_kernel_of_a_users_own_has_bytes_and_no_flops() -> None:
    call = replace(launch("my_kernel_0", (64, 10), (64,), 5), triton=True)
    cost = price_call(call)
    assert isinstance(cost, Unpriced) and cost.reason == "no_formula"
    assert (cost.read_bytes, cost.write_bytes) == (4 * 704, 0)
    stated = price_call(replace(call, stated_flops=12345))
    assert isinstance(stated, Cost) and (stated.flops, stated.bytes) == (12345, 4 * 704)
    assert price_call(launch("my_kernel_0", (64, 10))) == Unpriced("no_formula")
    bare = price_call(replace(launch("my_kernel_0", 5), triton=True))
    assert isinstance(bare, Unpriced) and bare.reason == "no_shapes"


def test_a_template_takes_what_its_compiler_counted() -> None:
    several = launch("triton_tem_fused_mm_1", (64, 64), (64, 64), (64, 64))  # which is A, which is B?
    assert isinstance(price_call(several), Cost)
    unclear = launch("triton_tem_fused_mm_1", (64, 64), (64, 64), (64, 64), (64, 64))
    assert isinstance(price_call(unclear), Unpriced)
    stated = price_call(replace(unclear, stated_flops=2 * 64**3))
    assert isinstance(stated, Cost)
    assert (stated.flops, stated.read_bytes, stated.write_bytes) == (2 * 64**3, 3 * 4 * 64**2, 4 * 64**2)


def test_attention_under_a_mask_of_blocks_has_bytes_only() -> None:
    q = (2, 8, 1024, 64)
    cost = price_call(launch("triton_tem_fused_flex_attention_0", q, q, q, (2, 8, 1024), (1, 1, 8), q))
    assert isinstance(cost, Unpriced) and cost.reason == "data_dependent"
    assert cost.write_bytes == 4 * prod(q) and cost.read_bytes == 4 * (3 * prod(q) + 2 * 8 * 1024 + 8)
