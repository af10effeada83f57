"""Compiled kernels: the launch's elements from its sizes, the FLOPs from the ops in its name."""

from __future__ import annotations

import pytest

from traceanalyzer.cost import price
from traceanalyzer.cost.triton import nominal_flops
from traceanalyzer.model import Cost, OpCall

Dims = tuple[int, ...]


def launch(name: str, tensors: list[Dims], sizes: list[int]) -> Cost:
    """A launch as Inductor records it: pointers of fp32, then integers."""
    shapes = (*tensors, *((),) * len(sizes))
    dtypes = (*("fp32",) * len(tensors), *(None,) * len(sizes))
    concrete = (*("",) * len(tensors), *map(str, sizes))
    cost = price(OpCall(name, shapes, dtypes, (), (), concrete))
    assert isinstance(cost, Cost), cost
    return cost


def moved(cost: Cost) -> int:
    return (cost.read_bytes + cost.write_bytes) // 4


def test_a_static_launch_caps_its_arguments() -> None:
    assert moved(launch("triton_poi_fused_add_0", [(100, 1024), (1024,), (8, 1024)], [8192])) == 17_408


def test_a_reduction_counts_rows_times_columns() -> None:
    cost = launch("triton_red_fused_sum_0", [(512, 4096), (512,)], [512, 4096])
    assert moved(cost) == 512 * 4096 + 512
    assert cost.flops == 512 * 4096


def test_a_slice_of_the_last_argument_is_capped_by_the_launch() -> None:
    cost = launch("triton_red_fused_split_3", [(98304,), (16384, 2304)], [98304, 128])
    assert moved(cost) == 98304 + 98304 * 128


def test_symbolic_dims_before_the_sizes_are_not_multiplied_in() -> None:
    cost = launch("triton_poi_fused_add_0", [(888,), (888,)], [25136, 201088, 201088, 888])
    assert moved(cost) == 2 * 888


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("triton_poi_fused_expand_clone_0", 0), ("triton_poi_fused_constant_pad_nd_1", 0),
        ("triton_poi_fused_arange_select_2", 0), ("triton_poi_fused_gelu_3", 5),
        ("triton_poi_fused_add_mul_4", 2), ("triton_poi_fused__to_copy_add_5", 1),
        ("triton_per_fused__softmax_6", 4), ("triton_per_fused_native_layer_norm_7", 7),
    ],
)  # fmt: skip
def test_flops_are_those_of_the_ops_in_the_name(name: str, flops: int) -> None:
    sizes = [64, 64] if "_per_" in name else [4096]
    assert launch(name, [(64, 64), (64, 64)], sizes).flops == flops * 4096


def test_names_are_whole_words() -> None:
    assert nominal_flops("exp") == (1, 1)
    assert nominal_flops("expand") == (0, 0)
    assert nominal_flops("no_such_op") is None
