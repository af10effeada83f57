"""The profiler before Kineto brackets each operator on the device: the time of a range is its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer import Analysis, AnalyzeOptions, analyze

US = 1000
Range = tuple[str, int, int, int]  # name, start and duration in us, device

# 300 us of `linear` hold 20 of `t` and 200 of `addmm`; `relu` is wholly `clamp_min`; 100 of 500 us are idle.
MLP: list[Range] = [
    ("aten::linear", 0, 300, 0), ("aten::t", 10, 20, 0), ("aten::addmm", 50, 200, 0),
    ("aten::relu", 400, 100, 0), ("aten::clamp_min", 400, 100, 0), ("aten::mm", 0, 350, 1),
]  # fmt: skip


def analyzed(ranges: list[Range], path: Path, device: int | None = None) -> Analysis:
    """As `torch.autograd.profiler.profile(use_cuda=True).export_chrome_trace` of torch 1.7 writes them."""
    events = [
        {"name": name, "ph": "X", "ts": at, "dur": dur, "tid": index, "pid": "CUDA functions", "args": {}}
        for name, at, dur, index in ranges
    ]  # fmt: skip
    host = {"name": "aten::linear", "ph": "X", "ts": 0, "dur": 30, "tid": 1, "pid": "CPU functions"}
    path.write_text(json.dumps([host, *events]))
    return analyze(path, options=AnalyzeOptions(gpu=device))


def own_us(analysis: Analysis) -> dict[str, float]:
    return {row.name: row.time_ns / US for row in analysis.op_rows}


def test_a_range_counts_without_those_inside_it(tmp_path: Path) -> None:
    first = analyzed(MLP, tmp_path / "mlp.json")
    assert own_us(first) == {
        "aten::linear": 80, "aten::t": 20, "aten::addmm": 200, "aten::relu": 0, "aten::clamp_min": 100,
    }  # fmt: skip
    assert (first.time.busy_ns, first.time.idle_ns, first.time.kernel_sum_ns) == (
        400 * US,
        100 * US,
        400 * US,
    )
    assert all(row.calls == 1 for row in first.op_rows)
    second = analyzed(MLP, tmp_path / "mlp.json", device=1)
    assert own_us(second) == {"aten::mm": 350} and second.time.busy_ns == 350 * US


def test_ranges_round_many_others_are_no_doubtful_times(tmp_path: Path) -> None:
    """A range over a hundred others of its device is what such a file holds."""
    inner: list[Range] = [("aten::mul", 1000 + 20 * number, 10, 0) for number in range(100)]
    analysis = analyzed([("training_step", 0, 4000, 0), *inner], tmp_path / "step.json")
    assert {notice.code for notice in analysis.source.warnings}.isdisjoint(
        {"impossible_duration", "overlapping_stream"}
    )
    assert own_us(analysis) == {"training_step": 3000, "aten::mul": 1000}


@st.composite
def trees(draw: st.DrawFn, name: str = "", start: int = 0, length: int = 60, depth: int = 4) -> list[Range]:
    """Disjoint ranges in [start, start + length), and others in each of them."""
    found: list[Range] = []
    at = start
    while len(found) < 12 and at < start + length:
        at += draw(st.integers(0, 5))
        dur = min(draw(st.integers(1, 30)), start + length - at)
        if dur <= 0:
            break
        label = f"{name}/{len(found)}"
        found.append((label, at, dur, 0))
        if depth and draw(st.booleans()):
            found += draw(trees(label, at, dur, depth - 1))
        at += dur
    return found


@settings(max_examples=60, deadline=None)
@given(ranges=trees())
def test_every_microsecond_belongs_to_the_innermost_range(
    tmp_path_factory: pytest.TempPathFactory, ranges: list[Range]
) -> None:
    expected = dict.fromkeys((name for name, *_ in ranges), 0)
    for moment in range(60):
        inside = [name for name, at, dur, _ in ranges if at <= moment < at + dur]
        if inside:
            expected[max(inside, key=lambda name: name.count("/"))] += 1
    if expected:
        analysis = analyzed(ranges, tmp_path_factory.mktemp("ranges") / "ranges.json")
        assert own_us(analysis) == expected
        assert analysis.time.busy_ns == sum(expected.values()) * US
