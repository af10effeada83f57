"""On a CPU: functions at their measured rates, and lines that are read before they are overwritten."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import traceanalyzer
from tests.cost.calls import call_of
from traceanalyzer.cost import FORMULAS
from traceanalyzer.cost.cpu_work import functions_of, lines_read_first
from traceanalyzer.cost.registry import price_with
from traceanalyzer.device.calibrate_rates import elements
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import Setup, judge_file
from traceanalyzer.records import Cost, Device, FunctionCount, FunctionRate, Peak
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.report.sentence import verdict_sentence
from traceanalyzer.roofline.judge import of_shown_step
from traceanalyzer.roofline.traffic import cpu_traffic
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
    row = replace(ROW, flops=0, time_ns=110_000_000, median_call_ns=110_000_000, functions=drawn)
    found = judge_row(row, ROOFS)
    assert (found.verdict, found.bound, found.limiter) == ("compute_bound", "compute", "compute")
    assert found.efficiency == pytest.approx(100 / 110)
    assert found.intensity == 0, "FLOPs stay nominal"
    bare = judge_row(row, Roofs.of(CPU, 1_000, Thresholds()))
    assert (bare.verdict, bare.limiter) == ("memory_bound", "neither")


def test_an_exponential_as_long_as_its_bytes_is_compute():
    """A million in 4 ms, 4 MB in 4 ms: at the ridge."""
    row = replace(ROW, time_ns=5_000_000, functions=(FunctionCount("exp", "fp32", 1_000_000),))
    assert judge_row(row, ROOFS).bound == "compute"
    fewer = replace(row, functions=(FunctionCount("exp", "fp32", 999_999),))
    assert judge_row(fewer, ROOFS).bound == "memory"


def test_of_a_type_that_was_not_measured_flops_decide():
    row = replace(ROW, functions=(FunctionCount("exp", "bf16", 10**9),))
    assert judge_row(row, ROOFS) == judge_row(ROW, ROOFS)


def test_a_rate_that_the_row_itself_disproves_is_left_out():
    """The row is ten times as fast as its rate, whatever made the measurement slow."""
    evaluated = (FunctionCount("exp", "fp32", 25_000_000),)
    row = replace(ROW, time_ns=10_000_000, functions=evaluated)
    found = judge_row(row, ROOFS)
    assert found == judge_row(replace(row, functions=()), ROOFS)
    assert "over_roof" not in found.flags


@pytest.mark.parametrize("precision", ["fp32", "bool", "int64"])
@pytest.mark.parametrize("times", [0.1, 0.9, 1.35, 1.6, 10.0])
def test_a_random_number_is_never_explained_by_its_bytes(times, precision):
    """A million of 1 byte in 1 ms, where drawing takes 100 ms at the measured rate: however fast the rows of
    a page draw, and whatever they store, all are on one side.
    """
    drawn = (FunctionCount("bernoulli", precision, 1_000_000),)
    time = round(100_000_000 / times)
    row = replace(ROW, flops=0, write_bytes=1_000_000, time_ns=time, median_call_ns=time, functions=drawn)
    found = judge_row(row, ROOFS)
    assert (found.verdict, found.bound) == ("compute_bound", "compute")
    assert found.efficiency == pytest.approx(times)
    assert ("over_roof" in found.flags) == (times > 1)


@pytest.mark.parametrize(
    ("moved", "proved", "verdict", "limiter"),
    [
        (4_000_000, None, "memory_bound", "memory"),  # 4 ms of 6 for its bytes
        (3_000_000, None, "compute_bound", "compute"),  # 3 of 6 explain too little
        (3_000_000, 4_500_000, "memory_bound", "memory"),  # with the lines read first 4.5 of 6
    ],
)
def test_where_bytes_explain_the_time_a_rate_that_it_beats_is_left_out(moved, proved, verdict, limiter):
    """Two million exponentials at the measured rate take 8 ms; the row takes 6."""
    row = replace(
        ROW, time_ns=6_000_000, write_bytes=moved, traffic_bytes=proved,
        functions=(FunctionCount("exp", "fp32", 2_000_000),), median_call_ns=6_000_000,
    )  # fmt: skip
    found = judge_row(row, ROOFS)
    assert (found.verdict, found.limiter) == (verdict, limiter)


def test_a_rate_that_the_row_does_not_beat_stays():
    """8 ms of exponentials in 8 ms, with 6 ms of bytes beside them."""
    row = replace(ROW, time_ns=8_000_000, write_bytes=6_000_000, median_call_ns=8_000_000,
                              functions=(FunctionCount("exp", "fp32", 2_000_000),))  # fmt: skip
    assert judge_row(row, ROOFS).limiter == "compute"


@pytest.mark.parametrize("threads", [1, 2, 4, 5, 64, 192])
def test_rates_are_measured_with_work_for_every_thread(threads):
    """PyTorch gives a thread 32,768 elements or more, so fewer in all would leave some without."""
    assert elements(threads) >= max(32768 * threads, 2**17)
    assert 8 * elements(threads) / threads <= 2**20, "a MiB of fp64 for each at most"


ADD = (X, X, 1)  # 6 MB, and 2 MB of lines that are overwritten


@pytest.mark.parametrize(("cache", "bytes_", "proved"), [
    (5_999_999, 8_000_000, True), (6_000_000, None, None), (2**30, None, None), (None, 8_000_000, False),
])  # fmt: skip
def test_lines_are_read_from_memory_where_no_cache_holds_what_a_call_touches(cache, bytes_, proved):
    found = cpu_traffic(*priced("aten::add", *ADD), cache)
    assert (found and found.bytes, found and found.proved) == (bytes_, proved)
    assert cpu_traffic(*priced("aten::add_", *ADD), cache) is None


@pytest.mark.parametrize(
    ("time_ms", "limiter"), [(6, "memory"), (8, "memory"), (11, None), (13, None), (14, "neither")]
)
def test_bytes_that_are_not_proved_leave_open_what_they_would_decide(time_ms, limiter):
    """6 ms by the compulsory bytes, 8 by all: both or neither of them 60 % of the time, or one only."""
    row = replace(ROW, time_ns=time_ms * 10**6, write_bytes=6_000_000, possible_bytes=8_000_000)
    assert judge_row(row, ROOFS).limiter == limiter


def steps(folder, roofs, per_step, *, elements=1_000_000):
    """Additions of 1,100 us and random draws of 11,000, so many in each step."""
    events, now = [], 1000.0
    for number, count in enumerate(per_step):
        start = now
        for name, took, inputs in (("aten::bernoulli_", 11_000, 1), ("aten::add", 1_100, 2)) * count:
            args = {
                "Input Dims": [[elements]] * inputs + [[]], "Input type": ["float"] * inputs + ["Scalar"],
                "Concrete Inputs": [""] * inputs + ["0.5"],
            }  # fmt: skip
            events.append({"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": 1, "ts": now,
                           "dur": took, "args": args})  # fmt: skip
            now += took + 5
        events.append({"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{number}", "pid": 1,
                       "tid": 1, "ts": start - 2, "dur": now - start + 4})  # fmt: skip
        now += 10
    file = folder / "t.json"
    file.write_text(json.dumps({"traceEvents": events, "traceanalyze": {"cpu_roofs": roofs}}))
    return file


MEASURED = {
    "name": "x", "bandwidth_bytes_per_s": 1.4e10, "launch_floor_ns": 5000, "write_allocate": True,
    "cache_bytes": 2**20, "peaks": [{"engine": "vector", "precision": "fp32", "flop_per_s": 1e11}],
    "rates": [{"function": "bernoulli", "precision": "fp32", "per_s": 1e8}],
}  # fmt: skip


@pytest.mark.parametrize("per_step", [(1, 3, 5), (2, 2, 9), (1, 1, 4, 4)])
def test_one_step_is_judged_with_all_that_was_measured(per_step, tmp_path):
    """12 MB in 1.1 ms are 78 % of the roof, with the lines read first all of it; draws take 10 of 11 ms."""
    file = str(steps(tmp_path, MEASURED, per_step))
    (judged,) = judge_file(file, Setup.of(AnalyzeOptions()))
    alone = of_shown_step(judged)
    assert alone is not judged
    seen = [{(r.name, r.verdict, r.limiter) for r in each.rows} for each in (judged, alone)]
    assert seen[0] == seen[1] == {
        ("aten::bernoulli_", "compute_bound", "compute"), ("aten::add", "memory_bound", "memory"),
    }  # fmt: skip
    a_call = [{r.name: (r.traffic_bytes or 0) // r.calls for r in each.rows} for each in (judged, alone)]
    assert a_call[0] == a_call[1] == {"aten::bernoulli_": 8_000_000, "aten::add": 16_000_000}


@pytest.mark.parametrize(
    ("cache", "traffic", "at_roof"),
    [(2**20, 16_000_000, 1.0), (2**28, None, 0.0), (None, None, None)],
)
def test_the_size_of_the_caches_decides_and_without_it_nothing_is_said(cache, traffic, at_roof, tmp_path):
    """12 MB in 1.1 ms: 55 % of 20 GB/s by them alone, 73 % with the lines that are read first."""
    roofs = MEASURED | {"bandwidth_bytes_per_s": 2e10, "cache_bytes": cache}
    found = traceanalyzer.analyze(steps(tmp_path, roofs, (2, 2, 2)))
    (row,) = (r for r in found.op_rows if r.name == "aten::add")
    assert row.traffic_bytes == (traffic and traffic * row.calls)
    part = next(p for p in found.verdicts if p.verdict == "memory_bound")
    assert part.time_ns == 6 * 1_100_000
    assert part.at_roof_ns == (None if at_roof is None else at_roof * part.time_ns)
    assert {p.at_roof_ns for s in found.step_rows for p in s.verdicts if p.verdict == "memory_bound"} == {
        None if at_roof is None else at_roof * 2 * 1_100_000
    }
    sentence = verdict_sentence(found)
    assert ("memory roof" in sentence) == (at_roof is not None)


@given(st.integers(1, 10**9), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**6))
def test_functions_only_ever_raise_the_compute_roof(time, flops, moved, count):
    row = replace(ROW, time_ns=time, flops=flops, write_bytes=moved)
    with_them = replace(row, functions=(FunctionCount("exp", "fp32", count),))
    plain, found = judge_row(row, ROOFS), judge_row(with_them, ROOFS)
    if plain.roof_ns is not None and found.roof_ns is not None:
        assert found.roof_ns >= plain.roof_ns
    assert found.intensity == plain.intensity
