"""On a CPU: functions at their measured rates, and lines that are read before they are overwritten."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.calls import call_of
from traceanalyzer.cost import FORMULAS
from traceanalyzer.cost.cpu_work import functions_of, lines_read_first
from traceanalyzer.cost.registry import price_with
from traceanalyzer.records import Cost, Device, FunctionCount, FunctionRate, Peak
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.roofline.verdicts import Roofs, RowFacts, judge_row

X = torch.ones(1000, 500)
HALF = X.to(torch.bfloat16)
N = 500_000


def priced(name, *arguments):
    call = call_of(name, *arguments)
    cost = price_with(FORMULAS[name], call)
    assert isinstance(cost, Cost), cost
    return call, cost


@pytest.mark.parametrize(
    ("name", "arguments", "function", "precision", "count"),
    [
        ("aten::exp", (X,), "exp", "fp32", N),
        ("aten::tanh", (HALF,), "tanh", "bf16", N),
        ("aten::sigmoid_", (X,), "exp", "fp32", N),
        ("aten::silu", (X,), "exp", "fp32", N),
        ("aten::gelu", (X, "none"), "erf", "fp32", N),
        ("aten::gelu", (X, "tanh"), "tanh", "fp32", N),
        ("aten::div", (X, X), "division", "fp32", N),
        ("aten::sqrt", (X,), "division", "fp32", N),
        ("aten::log1p", (X,), "log", "fp32", N),
        ("aten::_softmax", (X, 1, False), "exp", "fp32", N),
        ("aten::bernoulli_", (X, 0.5, None), "bernoulli", "fp32", N),
        ("aten::normal_", (X, 0.0, 1.0, None), "normal", "fp32", N),
        ("aten::uniform_", (HALF, 0.0, 1.0, None), "uniform", "bf16", N),
    ],
)
def test_what_an_operator_evaluates(name, arguments, function, precision, count):
    assert functions_of(*priced(name, *arguments)) == (FunctionCount(function, precision, count),)


@pytest.mark.parametrize("name", ["aten::add", "aten::relu", "aten::mul_", "aten::mm", "aten::cos"])
def test_what_needs_no_function_or_one_without_a_rate(name):
    arguments = (X, X.t()) if name == "aten::mm" else (X,) if name in ("aten::relu", "aten::cos") else (X, X)
    assert functions_of(*priced(name, *arguments)) == ()


@pytest.mark.parametrize(
    ("name", "arguments", "read_first"),
    [
        ("aten::add", (X, X, 1), 4 * N),  # a new result: its lines are read, then written
        ("aten::add_", (X, X, 1), 0),  # read anyway
        ("aten::mul_", (X, X), 0),
        ("aten::copy_", (X, X, False), 4 * N),
        ("aten::fill_", (X, 1.0), 4 * N),
        ("aten::bernoulli_", (X, 0.5, None), 4 * N),
        ("aten::zero_", (X,), 0),  # memset
    ],
)
def test_lines_that_are_overwritten_are_read_first(name, arguments, read_first):
    assert lines_read_first(*priced(name, *arguments)) == read_first


# 1 byte a ns, 1 FLOP a ns; 1 exponential in 4 ns, a random number in 100.
CPU = Device(
    id="round", name="round", kind="cpu", how="calibrated", confidence="exact",
    bandwidth_bytes_per_s=1e9, peaks=(Peak("vector", "fp32", 1e9),),
)  # fmt: skip
RATES = (FunctionRate("exp", "fp32", 0.25e9), FunctionRate("bernoulli", "fp32", 1e7))
ROOFS = Roofs.of(CPU, 1_000, Thresholds(), rates=RATES)
ROW = RowFacts(
    "compute", 10_000_000, flops=1_000_000, read_bytes=0, write_bytes=4_000_000, median_call_ns=10_000_000
)


def test_the_generator_takes_the_time_and_not_the_memory():
    """A million random numbers take 100 ms, their 4 MB only 4."""
    drawn = (FunctionCount("bernoulli", "fp32", 1_000_000),)
    row = dataclasses.replace(ROW, flops=0, time_ns=110_000_000, median_call_ns=110_000_000, functions=drawn)
    found = judge_row(row, ROOFS)
    assert (found.verdict, found.bound, found.limiter) == ("compute_bound", "compute", "compute")
    assert found.efficiency == pytest.approx(100 / 110)
    assert found.intensity == 0, "FLOPs stay nominal"
    bare = judge_row(row, Roofs.of(CPU, 1_000, Thresholds()))
    assert (bare.verdict, bare.limiter) == ("memory_bound", "neither")


def test_an_exponential_as_long_as_its_bytes_is_compute():
    """A million in 4 ms, 4 MB in 4 ms: at the ridge."""
    row = dataclasses.replace(ROW, time_ns=5_000_000, functions=(FunctionCount("exp", "fp32", 1_000_000),))
    assert judge_row(row, ROOFS).bound == "compute"
    fewer = dataclasses.replace(row, functions=(FunctionCount("exp", "fp32", 999_999),))
    assert judge_row(fewer, ROOFS).bound == "memory"


def test_of_a_type_that_was_not_measured_flops_decide():
    row = dataclasses.replace(ROW, functions=(FunctionCount("exp", "bf16", 10**9),))
    assert judge_row(row, ROOFS) == judge_row(ROW, ROOFS)


def test_a_rate_that_the_row_itself_disproves_is_left_out():
    """Measured while others kept the machine busy: the row is ten times as fast as its rate."""
    drawn = (FunctionCount("bernoulli", "fp32", 1_000_000),)
    row = dataclasses.replace(ROW, time_ns=10_000_000, functions=drawn)
    found = judge_row(row, ROOFS)
    assert found == judge_row(dataclasses.replace(row, functions=()), ROOFS)
    assert "over_roof" not in found.flags


@given(st.integers(1, 10**9), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**6))
def test_functions_only_ever_raise_the_compute_roof(time, flops, moved, count):
    row = dataclasses.replace(ROW, time_ns=time, flops=flops, write_bytes=moved)
    with_them = dataclasses.replace(row, functions=(FunctionCount("exp", "fp32", count),))
    plain, found = judge_row(row, ROOFS), judge_row(with_them, ROOFS)
    if plain.roof_ns is not None and found.roof_ns is not None:
        assert found.roof_ns >= plain.roof_ns
    assert found.intensity == plain.intensity
