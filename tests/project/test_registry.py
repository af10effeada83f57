"""Every cost formula states what it counts and where that can be checked, and none fails on odd input."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cost.odd_calls import odd_calls, plausible
from tests.project.tree import over_all
from traceanalyzer.cost import FORMULAS, price_call
from traceanalyzer.cost.catalog import BUILT_IN
from traceanalyzer.cost.fusible import elements, reduced
from traceanalyzer.records import Bounded, Cost, Dims, OpCall, Unpriced
from traceanalyzer.records.units import ITEMSIZE

NAMES = sorted(FORMULAS)

SIZES = st.integers(0, 5) | st.sampled_from([64, 4096, 2**31, 2**62])
SHAPES = st.lists(SIZES, max_size=5).map(tuple)
DIMS: st.SearchStrategy[Dims] = SHAPES | st.lists(SHAPES, max_size=3).map(tuple)
DTYPES = st.none() | st.sampled_from(sorted(ITEMSIZE))
TYPES = st.sampled_from(["", "Scalar", "ScalarList", "TensorList", "GenericList", "c10::Half", "float", "?"])
ODD = ["", "[]", "[1, 1]", "[0, 0]", "[-1]", "[1, 1, 1, 1, 1]", "True", "False", "0", "-1", "2", "1e-05",
       "None", "[[1, 2], []]", "nan", "inf", "mean", "<Tensor>", "[1, 2", "9" * 30, "٣", " 1 "]  # fmt: skip
ENDINGS = st.sampled_from(["", "x", "fused_add_mul_0", "_backward"])
TEXTS = st.sampled_from(ODD) | st.text(max_size=6)


def column(items: st.SearchStrategy[Any], length: int) -> st.SearchStrategy[tuple[Any, ...]]:
    """As long as the inputs, or absent, or too short: all three are in traces."""
    short = st.lists(items, max_size=length)
    return (st.lists(items, min_size=length, max_size=length) | short).map(tuple)


@st.composite
def calls(draw: st.DrawFn) -> OpCall:
    """A call of any formula's op, with whatever a trace may say of its inputs."""
    inputs = draw(st.integers(0, 5))
    shape = draw(SHAPES)  # often the same for all: so get formulas past their first check
    shapes = draw(st.lists(st.just(shape) | DIMS, min_size=inputs, max_size=inputs))
    return OpCall(
        draw(st.sampled_from(NAMES)).replace("*", draw(ENDINGS)),
        tuple(shapes),
        draw(column(DTYPES, inputs)),
        draw(column(TYPES, inputs)),
        draw(column(DIMS, inputs)),
        tuple(draw(st.lists(TEXTS, max_size=16))),
        draw(DTYPES),
        draw(st.none() | SHAPES),
    )


@over_all(NAMES)
def test_formulas_state_what_they_count(name: str) -> None:
    doc = FORMULAS[name].doc
    assert doc.splitlines()[0].strip(), "the first line says what is computed"
    for word in ("FLOPs =", "Bytes =", "Assumes"):
        assert word in doc, f"{name} does not state {word}"
    assert FORMULAS[name].source.strip()


MOST = 2**63 - 1  # sizes and counts are int64
TRUE_REASONS = {"no_shapes", "no_dtype", "no_concrete_inputs", "no_formula", "data_dependent"}


def holds(result: Cost | Unpriced) -> None:
    """What every answer must satisfy, whatever was asked."""
    if isinstance(result, Bounded):
        for end in result.corners:
            holds(end)
        assert result.least.flops <= result.most.flops and result.least.bytes <= result.most.bytes
        assert result.least != result.most
    if isinstance(result, Unpriced):
        sizes = [result.read_bytes, result.write_bytes]
        assert result.reason in TRUE_REASONS, result
        assert all(s is None or type(s) is int and 0 <= s <= MOST for s in sizes)
        return
    work = (result.flops, result.recomputed_flops, result.special_functions)
    counts = (*work, result.read_bytes, result.write_bytes, result.bytes)
    assert all(type(c) is int and 0 <= c <= MOST for c in counts), counts
    assert result.recomputed_flops <= result.flops
    assert result.precision


def fuses_or_not(call: OpCall) -> None:
    """How it fuses is known, or said not to be."""
    priced = BUILT_IN.price(call)
    holds(priced.cost)
    assert 0 <= elements(priced) <= MOST
    length = reduced(priced)
    assert length is None or priced.fusible == "reduction" and 0 <= length <= MOST


@settings(max_examples=300, derandomize=True)
@given(calls())
def test_no_input_makes_a_formula_fail(call: OpCall) -> None:
    holds(price_call(call))


@pytest.mark.slow
@settings(max_examples=5_000)
@given(calls())
def test_no_input_at_all_makes_a_formula_fail(call: OpCall) -> None:
    holds(price_call(call))


@over_all(NAMES)
def test_no_change_of_a_plausible_call_makes_its_formula_fail(name: str) -> None:
    for call in odd_calls(name, 40):
        fuses_or_not(call)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_thousands_of_changes_make_no_formula_fail(name: str) -> None:
    for call in odd_calls(name, 1000):
        fuses_or_not(call)


PRICED = sorted({f.price.__name__: name for name, f in FORMULAS.items()
                 if "FLOPs = not known" not in f.doc}.values())  # fmt: skip


@over_all(PRICED)
def test_what_is_changed_was_priced(name: str) -> None:
    alike = [other for other in NAMES if FORMULAS[other].price is FORMULAS[name].price]
    assert any(isinstance(price_call(call), Cost | Bounded) for other in alike for call in plausible(other))


# What a trace leaves of the inputs without record_shapes, and of nested tensors.
WITHOUT: dict[str, tuple[Any, ...]] = {
    "nothing recorded": ((), (), (), (), ()),
    "inputs of no type": (((),) * 6, (None,) * 6, ("",) * 6, (), ("",) * 6),
}
CONSTANT = {"aten::_amp_update_scale_"}  # its tensors have one element each, whatever is recorded


@over_all(product(NAMES, WITHOUT))
def test_an_op_without_recorded_inputs_is_not_priced(case: tuple[str, str]) -> None:
    name, recorded = case
    result = price_call(OpCall(name, *WITHOUT[recorded]))
    holds(result)
    # Views and allocations cost nothing whatever their inputs are; all else is unknown, not zero.
    assert isinstance(result, Unpriced) or FORMULAS[name].role == "free" or name in CONSTANT, result


@pytest.mark.parametrize("size", ["", "None"])
def test_a_size_that_was_not_recorded_is_not_a_scalar(size: str) -> None:
    assert isinstance(
        price_call(OpCall("aten::zeros", ((),), (None,), ("ScalarList",), (), (size,))), Unpriced
    )
    scalar = price_call(OpCall("aten::zeros", ((),), (None,), ("ScalarList",), (), ("[]",)))
    assert isinstance(scalar, Cost) and scalar.write_bytes == 4


def test_a_copy_from_a_nested_tensor_is_not_half_priced() -> None:
    call = OpCall("aten::copy_", ((8, 8), ()), ("fp32", None), ("float", ""))
    assert isinstance(price_call(call), Unpriced)
    number = OpCall("aten::copy_", ((8, 8), ()), ("fp32", "fp32"), ("float", "float"))
    assert price_call(number) == Cost(0, 0, 256)


FP32 = ("fp32",) * 3


@pytest.mark.parametrize(
    ("name", "shapes", "concrete", "reason"),
    [
        ("aten::mm", ((4, -8), (-8, 4)), (), "no_shapes"),
        ("aten::mm", ((4, 8), (7, 4)), (), "no_shapes"),
        ("aten::mm", ((4, 8),), (), "no_shapes"),
        ("aten::mm", (((4, 8),), (8, 4)), (), "no_shapes"),
        ("aten::bmm", ((2, 4, 8), (3, 8, 4)), (), "no_shapes"),
        ("aten::addbmm", ((4, 4), (4, 8), (8, 4)), (), "no_shapes"),
        ("aten::mm", ((2**40, 2**20), (2**20, 2**40)), (), "no_shapes"),  # 2**101 FLOPs
        ("aten::add", ((2**62, 4), (2**62, 4)), ("", "", "1"), "no_shapes"),
        ("aten::add", ((3, 4), (3, 5)), ("", "", "1"), "no_shapes"),
        ("aten::sum", ((3, 4),), ("", "[7]", "False", ""), "no_shapes"),
        ("aten::convolution", ((2, 4, 2, 2), (8, 4, 5, 5)), ("", "", "", *["[1, 1]", "[0, 0]", "[1, 1]"],
                                                             "False", "[0, 0]", "1"), "no_shapes"),
        ("aten::topk", ((3, 4),), ("", "", "-1", "True", "True"), "no_concrete_inputs"),
        ("aten::topk", ((3, 4),), ("", "9" * 5000, "-1", "True", "True"), "no_concrete_inputs"),
        ("aten::repeat", ((3, 4),), ("", "[2]"), "no_shapes"),
        ("aten::cat", ((3, 4),), ("", "0"), "no_shapes"),
        ("aten::zeros", ((),), ("[-1]", "6"), "no_concrete_inputs"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_unpriced_with_its_reason(
    name: str, shapes: tuple[Any, ...], concrete: tuple[str, ...], reason: str
) -> None:
    result = price_call(OpCall(name, shapes, FP32[: len(shapes)], ("float",) * len(shapes), (), concrete))
    assert isinstance(result, Unpriced) and result.reason == reason, result


def test_no_elements_are_no_work_and_not_unknown() -> None:
    call = OpCall("aten::mm", ((0, 8), (8, 4)), FP32[:2], ("float", "float"))
    assert price_call(call) == Cost(0, 4 * 32, 0, "matrix")
    assert price_call(OpCall("aten::add", ((0, 8), (0, 8)), FP32[:2])) == Cost(0, 0, 0)


@pytest.mark.parametrize(
    "strides", [(), ((8,),), ((-1,), (-8, 1)), (((8, 1),), (8, 1)), ((8, 1), (8, 1), (1,))]
)
def test_strides_that_tell_nothing_are_those_of_a_whole_tensor(strides: tuple[Any, ...]) -> None:
    call = OpCall("aten::copy_", ((4, 8), (4, 8)), FP32[:2], ("float", "float"), strides)
    assert price_call(call) == Cost(0, 128, 128)
