"""Rows add up to verdicts, these to busy, busy and idle to the window: in whole ns, on real traces."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline import real
from tests.pipeline.laws import check_headroom, check_timeline
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Analysis
from traceanalyzer.records.errors import TraceFormatError


def check(analysis: Analysis) -> None:
    """The laws that hold for every analysis."""
    busy, window = analysis.time.busy_ns, analysis.window.window_ns
    rows = analysis.op_rows
    assert sum(r.attributed_ns for r in rows) == busy
    assert sum(p.time_ns for p in analysis.verdicts) == busy
    assert sum(p.time_ns for p in analysis.operator_classes) == busy
    for part in analysis.verdicts:
        assert part.time_ns == sum(r.attributed_ns for r in rows if r.verdict == part.verdict)
        assert part.kernels == sum(r.kernels for r in rows if r.verdict == part.verdict)
        reached = [r for r in rows if r.verdict == part.verdict and r.limiter in ("memory", "compute")]
        assert part.at_roof_ns == sum(r.attributed_ns for r in reached) <= part.time_ns
    for part in analysis.operator_classes:
        assert part.time_ns == sum(r.attributed_ns for r in rows if r.operator_class == part.operator_class)
    assert busy + analysis.time.idle_ns == window
    assert sum(p.time_ns for p in analysis.time.idle_by_cause) == analysis.time.idle_ns
    for part in analysis.time.idle_by_cause:
        assert sum(name.time_ns for name in part.names) <= part.time_ns
    check_steps(analysis)
    check_timeline(analysis)
    check_headroom(analysis)
    check_limiters(analysis)
    check_recomputation(analysis)
    assert sum(r.time_ns for r in rows) == analysis.time.kernel_sum_ns
    assert all(0 <= r.attributed_ns <= r.time_ns for r in rows)
    for row in rows:
        assert sum(k.time_ns for k in row.kernel_names) == row.time_ns
        assert (row.verdict == "unmodelled") == (row.reason is not None), row
        if row.verdict in ("compute_bound", "memory_bound", "latency_bound"):
            assert row.read_bytes is not None or row.bytes_range is not None
            assert row.bound is not None or (row.verdict == "latency_bound" and "bounded" in row.flags)
        for total, ends in ((row.flops, row.flops_range), (row.read_bytes, row.bytes_range)):
            assert ends is None or (total is None and 0 <= ends[0] < ends[1] and "bounded" in row.flags)
    cover = analysis.coverage
    total = sum(r.time_ns for r in rows if r.verdict not in ("communication", "copy"))
    if total:
        assert cover.modelled_share + sum(p.share for p in cover.reasons) == pytest.approx(1, abs=1e-9)
        assert sum(p.time_ns for p in cover.reasons) == sum(
            r.time_ns for r in rows if r.verdict == "unmodelled"
        )
    for share in (cover.modelled_share, cover.linked_share, cover.shaped_share,
                  cover.modelled_of_shaped_share, *(p.share_of_busy for p in analysis.verdicts)):  # fmt: skip
        assert 0 <= share <= 1


def check_recomputation(analysis: Analysis) -> None:
    """What is recomputed is part of the FLOPs, all of them where the forward pass runs again."""
    for row in analysis.op_rows:
        assert (row.recomputed_flops is None) == (row.flops is None), row
        assert 0 <= (row.recomputed_flops or 0) <= (row.flops or 0), row
        assert row.phase != "recompute" or row.recomputed_flops == row.flops, row
    compute = analysis.compute
    again = sum(row.recomputed_flops or 0 for row in analysis.op_rows)
    assert compute.recompute_share == pytest.approx(again / compute.flops if compute.flops else 0, abs=1e-12)


def check_limiters(analysis: Analysis) -> None:
    """The headline is the sum of its parts, and no row reaches a roof that it has not."""
    bound = analysis.memory_bound
    assert bound.at_roof_share_of_busy is not None and bound.below_roof_share_of_busy is not None
    parts = bound.at_roof_share_of_busy + bound.below_roof_share_of_busy
    assert parts == pytest.approx(bound.share_of_busy, abs=1e-12)
    for row in analysis.op_rows:
        assert row.limiter is None or row.verdict not in ("unmodelled", "communication", "copy"), row
        if row.traffic_bytes is not None and row.read_bytes is not None and row.write_bytes is not None:
            assert row.traffic_bytes > row.read_bytes + row.write_bytes
        if row.verdict == "memory_bound":
            assert row.limiter in ("memory", "neither", None)
        if row.efficiency is not None and row.efficiency >= 0.6:
            assert row.limiter in ("memory", "compute"), row


def check_steps(analysis: Analysis) -> None:
    """Steps add up to the window, verdict by verdict and cause by cause; each is full."""
    steps = analysis.step_rows
    assert (steps is None) == (analysis.window.step_count is None)
    if steps is None:
        return
    assert [step.name for step in steps] == list(analysis.window.steps)
    assert sum(step.device_ns for step in steps) == analysis.window.window_ns
    for step, following in pairwise(steps):
        assert step.device_start_ns + step.device_ns == following.device_start_ns
    for step in steps:
        parts = [p.time_ns for p in step.verdicts] + [p.time_ns for p in step.idle_by_cause]
        assert sum(parts) == step.device_ns and min(parts) >= 0 <= step.host_lead_ns
    for number, verdict in enumerate(analysis.verdicts):
        assert sum(step.verdicts[number].time_ns for step in steps) == verdict.time_ns
        assert sum(step.verdicts[number].at_roof_ns or 0 for step in steps) == verdict.at_roof_ns
    for number, cause in enumerate(analysis.time.idle_by_cause):
        assert sum(step.idle_by_cause[number].time_ns for step in steps) == cause.time_ns


@pytest.fixture(scope="module")
def busy_of_all() -> dict[str, int]:
    return {}


@pytest.mark.parametrize("steps", ["all", "complete"])
def test_every_real_trace_adds_up(real_traces: Path, steps: str, busy_of_all: dict[str, int]) -> None:
    whole_window = AnalyzeOptions(steps="all")
    assert AnalyzeOptions().steps == "complete"
    for file in real.files(real_traces):
        every = steps == "all"
        analysis = traceanalyzer.analyze(file, options=whole_window) if every else real.analyzed(file)
        check(analysis)
        whole = analysis.time.busy_ns + analysis.time.outside_window_ns
        if steps == "all":
            assert analysis.time.outside_window_ns == 0
        assert busy_of_all.setdefault(file.name, whole) == whole, file.name


def test_odd_inputs_add_up_too(real_traces: Path) -> None:
    """Those beside the real traces, where there are any; what is no trace is refused."""
    folder = real_traces.parent / "cases"
    refused = 0
    files = real.files(folder) if folder.is_dir() else []
    for file in files:
        try:
            analysis = real.analyzed(file)
        except TraceFormatError:
            refused += 1
            continue
        check(analysis)
    assert refused <= len(files) // 5
