"""Every cost formula states what it counts and where that can be checked, and none fails on odd input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.cost import FORMULAS, price_call
from traceanalyzer.records import Cost, Dims, OpCall, Unpriced
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


def test_formulas_state_what_they_count() -> None:
    """All in one test, as below: a test for each of a thousand formulas would take longer than it tests."""
    for name in NAMES:
        doc = FORMULAS[name].doc
        assert doc.splitlines()[0].strip(), f"the first line says what {name} computes"
        for word in ("FLOPs =", "Bytes =", "Assumes"):
            assert word in doc, f"{name} does not state {word}"
        assert FORMULAS[name].source.strip(), name


def holds(result: Cost | Unpriced) -> None:
    """What every answer must satisfy, whatever was asked."""
    if isinstance(result, Unpriced):
        sizes = [result.read_bytes, result.write_bytes]
        assert result.reason
        assert all(s is None or type(s) is int and s >= 0 for s in sizes)
        return
    counts = (result.flops, result.read_bytes, result.write_bytes, result.special_functions)
    assert all(type(c) is int and c >= 0 for c in counts), counts
    assert result.precision


@settings(max_examples=300)
@given(calls())
def test_no_input_makes_a_formula_fail(call: OpCall) -> None:
    holds(price_call(call))


@pytest.mark.slow
@settings(max_examples=1500)
@given(calls())
def test_none_of_many_inputs_makes_a_formula_fail(call: OpCall) -> None:
    holds(price_call(call))


WITHOUT = {  # what a trace leaves of the inputs without record_shapes, and of nested tensors
    "nothing recorded": ((), (), (), (), ()),
    "inputs of no type": (((),) * 6, (None,) * 6, ("",) * 6, (), ("",) * 6),
}
CONSTANT = {"aten::_amp_update_scale_"}  # its tensors have one element each, whatever is recorded


@pytest.mark.parametrize("recorded", WITHOUT.values(), ids=list(WITHOUT))
def test_an_op_without_recorded_inputs_is_not_priced(recorded: tuple[Any, ...]) -> None:
    for name in NAMES:
        result = price_call(OpCall(name, *recorded))
        holds(result)
        # Views and allocations cost nothing whatever their inputs are; all else is unknown, not zero.
        known = FORMULAS[name].role == "free" or name in CONSTANT
        assert known or isinstance(result, Unpriced), (name, result)


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


def test_negative_counts_are_refused() -> None:
    call = OpCall("aten::mm", ((4, -8), (-8, 4)), ("fp32", "fp32"), ("float", "float"))
    assert isinstance(price_call(call), Unpriced)
