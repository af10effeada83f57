"""Rows of which only an interval of the work is known: one verdict at all of its ends, or none."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.roofline.test_judge import COMPUTE, ROOFS
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Bounded, Cost
from traceanalyzer.roofline.verdicts import RowFacts, judge_row

FLOPS = st.integers(10**6, 10**11)
BYTES = st.integers(10**3, 10**8)
BYTES_A_NS = 1  # of ROOFS; and 1,000 FLOPs


def row(flops: int, moved: int, time_ns: int, blocks: int) -> RowFacts:
    return msgspec.structs.replace(COMPUTE, flops=flops, read_bytes=moved, write_bytes=0, time_ns=time_ns,
                               median_call_ns=time_ns, blocks=blocks)  # fmt: skip


def between(bounds: Bounded, time_ns: int, blocks: int) -> RowFacts:
    corners = tuple(row(each.flops, each.bytes, time_ns, blocks) for each in bounds.corners)
    return msgspec.structs.replace(corners[0], flops=None, read_bytes=None, write_bytes=None, corners=corners,
                               unpriced="data_dependent")  # fmt: skip


@given(FLOPS, FLOPS, BYTES, BYTES, st.integers(10**3, 10**8), st.sampled_from([3, 10_000]))
def test_a_verdict_holds_at_every_point_of_the_interval(
    few: int, many: int, low: int, high: int, time_ns: int, blocks: int
) -> None:
    (few, many), (low, high) = sorted((few, many)), sorted((low, high))
    bounds = Bounded("data_dependent", least=Cost(few, low, 0), most=Cost(many, high, 0))
    found = judge_row(between(bounds, time_ns, blocks), ROOFS)
    inside = [
        (few + (many - few) * i // 8, low + (high - low) * j // 8) for i, j in product(range(9), repeat=2)
    ]
    judged = [judge_row(row(flops, moved, time_ns, blocks), ROOFS) for flops, moved in inside]
    assert "bounded" in found.flags
    moving_ns = low / BYTES_A_NS
    explained = moving_ns >= 0.6 * time_ns and judged[0].bound == "memory"
    if found.verdict == "unmodelled":
        assert len({each.verdict for each in judged}) > 1 and found.reason == "data_dependent"
        assert not explained
    elif "bytes_only" in found.flags:
        assert len({each.verdict for each in judged}) > 1 and explained
        assert (found.verdict, found.bound, found.limiter) == ("memory_bound", "memory", "memory")
        assert found.roof_ns == (pytest.approx(moving_ns) if low == high else None)
        rounded = moving_ns * (1 - 1e-9)  # bytes by a bandwidth per second, and not per ns
        assert all(each.roof_ns is not None and each.roof_ns >= rounded for each in judged)
    else:
        assert {each.verdict for each in judged} == {found.verdict}
    for name in () if "bytes_only" in found.flags else ("bound", "limiter", "roof_ns", "efficiency"):
        values = {getattr(each, name) for each in judged}
        agreed = getattr(found, name)
        assert agreed is None or values == {agreed}


@given(FLOPS, FLOPS, BYTES, BYTES, st.integers(10**3, 10**8))
def test_where_one_unknown_decides_both_the_line_counts(
    few: int, many: int, low: int, high: int, time_ns: int
) -> None:
    (few, many), (low, high) = sorted((few, many)), sorted((low, high))
    bounds = Bounded("data_dependent", least=Cost(few, low, 0), most=Cost(many, high, 0), together=True)
    found = judge_row(between(bounds, time_ns, 10_000), ROOFS)
    line = [(few + (many - few) * i // 16, low + (high - low) * i // 16) for i in range(17)]
    verdicts = {judge_row(row(flops, moved, time_ns, 10_000), ROOFS).verdict for flops, moved in line}
    if found.verdict != "unmodelled":
        assert verdicts == {found.verdict} or ("bytes_only" in found.flags and low >= 0.6 * time_ns)


def test_bytes_alone_explain_a_time_whatever_the_flops_are() -> None:
    """80 kB in 100 us are 80 us; of FLOPs there is 1 ns, or 120 us, which no device did in that time."""
    bounds = Bounded("data_dependent", least=Cost(10**3, 80_000, 0), most=Cost(12 * 10**7, 80_000, 0))
    found = judge_row(between(bounds, 100_000, 10_000), ROOFS)
    assert (found.verdict, found.bound, found.limiter) == ("memory_bound", "memory", "memory")
    assert set(found.flags) == {"bytes_only", "bounded"} and found.reason is None
    assert (found.roof_ns, found.efficiency, found.intensity) == (80_000, 0.8, None)


def test_of_unknown_bytes_the_least_count() -> None:
    """61 us at least explain it, and how many more is not known; 59 us do not."""
    for low, verdict in ((61_000, "memory_bound"), (59_000, "unmodelled")):
        bounds = Bounded("data_dependent", least=Cost(10**3, low, 0), most=Cost(9 * 10**7, 85_000, 0))
        found = judge_row(between(bounds, 100_000, 10_000), ROOFS)
        assert (found.verdict, found.roof_ns, found.efficiency) == (verdict, None, None)


def test_bytes_explain_nothing_that_flops_explain_better() -> None:
    """90 us of FLOPs are known; 65 to 95 us of bytes: the least of these decide nothing."""
    bounds = Bounded("data_dependent", least=Cost(9 * 10**7, 65_000, 0), most=Cost(9 * 10**7, 95_000, 0))
    found = judge_row(between(bounds, 100_000, 10_000), ROOFS)
    assert (found.verdict, found.reason) == ("unmodelled", "data_dependent")


def test_an_end_that_takes_longer_than_was_measured_proves_no_side() -> None:
    """10 us of bytes; of FLOPs 1 ns or 120 us: 99 us are as possible, and then they are what it waits for."""
    bounds = Bounded("data_dependent", least=Cost(10**3, 10_000, 0), most=Cost(12 * 10**7, 10_000, 0))
    found = judge_row(between(bounds, 100_000, 10_000), ROOFS)
    assert (found.verdict, set(found.flags)) == ("unmodelled", {"bounded"})


A = ([4096, 4096], "c10::BFloat16")
EXPERTS = ([64, 4096, 4096], "c10::BFloat16")
OFFSETS = ([64], "int")


def report(tmp_path: Path, us: int, tokens: int) -> traceanalyzer.Analysis:
    t = Kineto()
    t.run("aten::_grouped_mm", 0, "cutlass_grouped", 100, us, ([tokens, 4096], A[1]), EXPERTS, OFFSETS)
    options = AnalyzeOptions(bandwidth="1TB/s", peaks=("matrix:bf16=100T", "fp32=10T"))
    return traceanalyzer.analyze(t.write(tmp_path / "t.json"), options=options)


def test_figures_that_differ_are_empty_and_those_that_agree_are_not(tmp_path: Path) -> None:
    """65,536 tokens and 64 experts: 2.2e12 FLOPs in 22 ms at the peak; 1.1 to 3.2 GB in 3.2 ms at most."""
    analysis = report(tmp_path, 44_000, 65_536)
    (found,) = analysis.op_rows
    flops, moved, weight = 2 * 65_536 * 4096 * 4096, 2 * 2 * 65_536 * 4096 + 256, 2 * 4096 * 4096
    assert (found.flops, found.flops_range) == (flops, None)
    assert found.bytes_range == (moved + weight, moved + 64 * weight)
    assert (found.read_bytes, found.write_bytes, found.intensity) == (None, None, None)
    assert (found.verdict, found.bound, found.limiter) == ("compute_bound", "compute", "neither")
    assert found.roof_ns is not None and found.efficiency is not None
    assert abs(found.efficiency - flops / 100e12 / 44e-3) < 1e-9
    assert set(found.flags) == {"bounded", "inefficient"}
    assert analysis.coverage.modelled_share == 1


def test_ends_that_disagree_are_not_modelled(tmp_path: Path) -> None:
    """4,096 tokens: 1.4 ms at the peak; 0.1 to 2.2 ms for the bytes of one expert or all."""
    analysis = report(tmp_path, 4_000, 4_096)
    (found,) = analysis.op_rows
    assert (found.verdict, found.reason, found.bound) == ("unmodelled", "data_dependent", None)
    assert found.flops == 2 * 4096**3 and found.bytes_range is not None and "bounded" in found.flags
    assert analysis.coverage.modelled_share == 0
    assert sum(part.share for part in analysis.coverage.reasons) == 1
    assert sum(part.time_ns for part in analysis.verdicts) == analysis.time.busy_ns
