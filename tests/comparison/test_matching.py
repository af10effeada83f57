"""What an operator became: scenes by hand, each with its answer written beside it."""

from __future__ import annotations

import pytest

from tests.comparison.sides import product, row, run
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.comparison.names import family, generated, holds, plain
from traceanalyzer.records import Comparison, OpChange, OpRow

N = (64, 64)


def compared(base: list[OpRow], head: list[OpRow]) -> Comparison:
    return comparison_of([run(*base)], [run(*head)])


def entry(comparison: Comparison, name: str) -> OpChange:
    """The one entry of that name."""
    (found,) = [op for op in comparison.ops if op.name == name]
    return found


def names(op: OpChange) -> tuple[list[str], list[str]]:
    return [row.name for row in op.base], [row.name for row in op.head]


def test_the_same_call_is_matched_wherever_it_comes() -> None:
    mul, add = row("mul", 900, N, N), row("add", 600, N, N)
    comparison = compared([mul, add], [row("add", 300, N, N), mul])
    assert {op.match for op in comparison.ops} == {"matched"}
    assert entry(comparison, "aten::add").change_ns == -100 and entry(comparison, "aten::mul").change_ns == 0


def test_modules_tell_calls_apart_where_both_sides_have_them() -> None:
    def layers(first: int, second: int) -> list[OpRow]:
        return [row("mul", first, N, module="a"), row("mul", second, N, module="b")]

    comparison = compared(layers(900, 600), layers(300, 600))
    assert sorted(op.change_ns for op in comparison.ops) == [-200, 0]
    compiled = compared(layers(900, 600), [row("mul", 1200, N)])
    (both,) = compiled.ops
    assert both.match == "matched" and len(both.base) == 2 and both.change_ns == -100


@pytest.mark.parametrize("kernel", [
    "triton_poi_fused_add_mul_native_layer_norm_0", "graph_0_cpp_fused_add_mul_native_layer_norm_2",
    "triton_red_fused__to_copy_add_mul_native_layer_norm_12",
])  # fmt: skip
def test_many_became_one_generated_kernel(kernel: str) -> None:
    many = [row("mul", 900, N, N), row("add_", 600, N, N), row("native_layer_norm", 300, N)]
    apart = row("exp", 30, N)
    comparison = compared([*many, apart], [row(kernel, 600, N)])
    fused = entry(comparison, kernel)
    assert (fused.match, fused.how, fused.change_ns) == ("became", "fused", 200 - 600)
    assert sorted(names(fused)[0]) == ["aten::add_", "aten::mul", "aten::native_layer_norm"]
    assert fused.evidence == "the kernel's name holds mul, add, native_layer_norm"
    assert entry(comparison, "aten::exp").match == "vanished"
    back = entry(compared([row(kernel, 600, N)], many), "aten::mul")
    assert (back.match, back.how, back.change_ns) == ("became", "split", 400)


def test_a_kernel_of_another_phase_took_nothing() -> None:
    comparison = compared([row("mul", 900, N, phase="backward")], [row("triton_poi_fused_mul_0", 300, N)])
    assert {op.match for op in comparison.ops} == {"vanished", "appeared"}


def test_of_several_kernels_the_one_of_its_size_took_it() -> None:
    small, large = row("mul", 300, (8, 8)), row("mul", 900, (512, 8))
    kernels = [row("triton_poi_fused_mul_0", 600, (8, 8)), row("triton_poi_fused_mul_1", 300, (512, 8))]
    comparison = compared([small, large], kernels)
    assert [op.base[0].input_dims for op in (entry(comparison, k.name) for k in kernels)] == [
        ((8, 8),), ((512, 8),),
    ]  # fmt: skip


SCORES = (4, 8, 16, 16)
WRITTEN_OUT = [
    product("bmm", 900, (32, 16, 8), (32, 8, 16)), row("div", 300, SCORES), row("masked_fill", 300, SCORES),
    row("_softmax", 600, SCORES), product("bmm", 600, (32, 16, 16), (32, 16, 8)),
]  # fmt: skip


@pytest.mark.parametrize("call", [
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention_for_cpu", "_flash_attention_forward",
])  # fmt: skip
def test_attention_written_out_became_one_call(call: str) -> None:
    others = [row("gelu", 300, (64, 128)), product("mm", 300, (64, 64), (64, 64))]
    comparison = compared([*WRITTEN_OUT, *others], [product(call, 900, (4, 8, 16, 8)), *others])
    fused = entry(comparison, f"aten::{call}")
    assert (fused.match, fused.how) == ("became", "fused") and len(fused.base) == len(WRITTEN_OUT)
    assert entry(comparison, "aten::gelu").match == entry(comparison, "aten::mm").match == "matched"


def test_attention_of_the_backward_pass_is_its_own() -> None:
    base = [*WRITTEN_OUT, row("_softmax_backward_data", 900, SCORES, phase="backward"),
            product("bmm", 600, (32, 16, 16), (32, 16, 8), phase="backward")]  # fmt: skip
    call = "_scaled_dot_product_flash_attention"
    head = [product(call, 900, (4, 8, 16, 8)),
            product(f"{call}_backward", 1200, (4, 8, 16, 8), phase="backward")]  # fmt: skip
    comparison = compared(base, head)
    assert {len(op.base) for op in comparison.ops} == {2, len(WRITTEN_OUT)}
    assert {op.how for op in comparison.ops} == {"fused"}


@pytest.mark.parametrize("lists", [False, True])
def test_an_optimizers_operators_became_a_fused_step(lists: bool) -> None:
    prefix = "_foreach_" if lists else ""
    parts = [row(f"{prefix}{name}_", 300, N, phase="optimizer") for name in ("mul", "addcmul", "addcdiv")]
    comparison = compared(parts, [row("_fused_adamw_", 300, N, phase="optimizer")])
    (fused,) = comparison.ops
    assert (fused.match, fused.how, len(fused.base)) == ("became", "fused", 3)


def test_single_operators_became_lists() -> None:
    parts = [row(name, 300, N, phase="optimizer") for name in ("mul_", "addcdiv_")]
    comparison = compared(parts, [row("_foreach_mul_", 300, N, phase="optimizer")])
    assert [op.how for op in comparison.ops] == ["fused"]


def test_other_types_sizes_and_names() -> None:
    wide = product("mm", 900, N, N, dtype="fp32")
    (types,) = compared([product("mm", 300, N, N)], [wide]).ops
    assert (types.match, types.how) == ("became", "types")
    (shapes,) = compared([row("mul", 300, N)], [row("mul", 300, (64, 128))]).ops
    assert (shapes.match, shapes.how) == ("became", "shapes")
    (renamed,) = compared([row("relu", 300, N)], [row("gelu", 300, N)]).ops
    assert (renamed.match, renamed.how) == ("became", "renamed")
    (same,) = compared(
        [product("cudnn_convolution", 300, N, N)], [product("mkldnn_convolution", 300, N, N)]
    ).ops
    assert (same.match, same.how) == ("became", "renamed")


def test_a_result_that_is_given_a_place_is_the_same_call() -> None:
    """Compiled code calls mm.out, whose last argument is the result."""
    (same,) = compared([product("mm", 300, N, (64, 8))], [product("mm", 300, N, (64, 8), (64, 8))]).ops
    assert same.match == "matched"


def test_what_is_new_and_what_is_gone() -> None:
    comparison = compared([row("mul", 300, N)], [row("sort", 300, (8,), phase="backward")])
    assert {(op.match, op.name) for op in comparison.ops} == {
        ("vanished", "aten::mul"),
        ("appeared", "aten::sort"),
    }


@pytest.mark.parametrize(
    ("kernel", "inside", "not_inside"),
    [
        ("triton_poi_fused_add_mul_0", ["aten::add", "aten::mul_", "aten::_foreach_add_"],
         ["aten::addmm", "aten::m"]),
        ("triton_per_fused__softmax_backward_data_div_3", ["aten::_softmax_backward_data", "aten::div"],
         ["aten::_softmax"]),
        ("triton_red_fused__softmax__softmax_backward_data_7",
         ["aten::_softmax", "aten::_softmax_backward_data"], ["aten::_log_softmax"]),
        ("graph_0_cpp_fused_clone_masked_fill_view_5", ["aten::copy_", "aten::masked_fill_"],
         ["aten::fill_"]),
        ("triton_tem_fused_addmm_relu_1", ["aten::addmm", "aten::relu"], ["aten::add"]),
    ],
)  # fmt: skip
def test_names_inside_a_generated_kernel(kernel: str, inside: list[str], not_inside: list[str]) -> None:
    parts = generated(kernel)
    assert parts is not None
    assert [name for name in inside if not holds(parts, name)] == []
    assert [name for name in not_inside if holds(parts, name)] == []


def test_names_that_are_none_of_a_compiler() -> None:
    assert generated("aten::_fused_adamw_") is None and generated("ampere_sgemm_128x64_nn") is None
    assert plain("aten::masked_fill_") == "masked_fill" and plain("aten::__and__") == "__and__"
    assert family("aten::cudnn_convolution") == family("aten::mkldnn_convolution") == "convolution"


def kernel(number: int, ns: int, dims: tuple[int, ...] = N) -> OpRow:
    return row(f"triton_poi_fused_mul_{number}", ns, dims)


def test_a_compiler_that_counts_its_kernels_anew_made_no_others() -> None:
    """One kernel more in front shifts the numbers of all others, which are the same kernels as before."""
    wide = (64, 128)
    base = [kernel(0, 300), kernel(1, 600, wide), kernel(2, 900)]
    head = [row("triton_poi_fused_exp_0", 300, N), kernel(1, 300), kernel(2, 600, wide), kernel(3, 900)]
    comparison = compared(base, head)
    assert entry(comparison, "triton_poi_fused_exp_0").match == "appeared"
    same = [op for op in comparison.ops if op.match == "matched"]
    assert sorted((len(op.base), len(op.head), op.change_ns) for op in same) == [(1, 1, 0), (2, 2, 0)]
    assert len(comparison.ops) == 3
    graphs = [[row(f"graph_{number}_cpp_fused_mul_{number}", 300, N)] for number in (0, 1)]
    assert [op.match for op in compared(*graphs).ops] == ["matched"]


def test_where_the_numbers_are_the_same_they_tell_kernels_apart() -> None:
    comparison = compared([kernel(0, 300), kernel(1, 600)], [kernel(0, 600), kernel(1, 600)])
    assert sorted(op.change_ns for op in comparison.ops) == [0, 100]


@pytest.mark.parametrize(
    ("before", "after"), [("mul", "mul_"), ("cudnn_batch_norm", "miopen_batch_norm"), ("_conv", "conv")]
)
def test_another_name_of_the_same_operator_is_no_other_type(before: str, after: str) -> None:
    (renamed,) = compared([row(before, 300, N)], [row(after, 300, N)]).ops
    assert (renamed.match, renamed.how) == ("became", "renamed")
    assert renamed.evidence == "the same operator by another name, on the same tensors"


def test_products_that_make_no_scores_are_none_of_the_attention() -> None:
    other = product("bmm", 900, (2, 5, 7), (2, 7, 3))
    call = "_scaled_dot_product_flash_attention"
    comparison = compared([*WRITTEN_OUT, other], [product(call, 900, (4, 8, 16, 8))])
    assert len(entry(comparison, f"aten::{call}").base) == len(WRITTEN_OUT)
    assert entry(comparison, "aten::bmm").match == "vanished"
