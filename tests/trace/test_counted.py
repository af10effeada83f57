"""Recordings of hardware counters: rows as Kineto's CUPTI range profiler writes them, and what they become.

Their form is that of `CuptiRangeProfilerSession::addRangeEvents`: the recording cut into equal slices, one a
kernel, in the order of the launches, each with its kernel's name and a number a metric.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer
from traceanalyzer import Analysis
from traceanalyzer.report.lines import counted
from traceanalyzer.report.sentence import verdict_sentence

N = 1 << 24  # elements of 4096 x 4096
MUL, MM, ADD = (
    "void at::native::vectorized_elementwise_kernel<4, MulFunctor<float>>(int)", "ampere_sgemm_128x64_nn",
    "void at::native::vectorized_elementwise_kernel<4, CUDAFunctor_add<float>>(int)",
)  # fmt: skip
OPERATORS = {
    "aten::mul": (MUL, 8 * N, 4 * N),
    "aten::mm": (MM, 12 * N, 4 * N),
    "aten::add": (ADD, 2 * N, 4 * N),
}
Event = dict[str, Any]


def recorded(repeats: int = 2) -> list[Event]:
    """Operators of two 4096 x 4096 fp32 inputs and their launches, a copy between them, and the ranges."""
    host: list[Event] = []
    ranges: list[Event] = []
    now = 1000
    for number, name in enumerate([*OPERATORS] * repeats):
        kernel, read, written = OPERATORS[name]
        dims = {"Input Dims": [[4096, 4096], [4096, 4096]], "Input type": ["float", "float"]}
        host.append(row("cpu_op", name, now, 50, **dims))
        host.append(row("cuda_runtime", "cudaLaunchKernel", now + 10, 20, correlation=2 * number + 1))
        host.append(row("cuda_runtime", "cudaMemcpyAsync", now + 40, 5, correlation=2 * number + 2))
        metrics = {"dram__bytes_read.sum": float(read), "dram__bytes_write.sum": float(written),
                   "smsp__inst_executed.sum": 1234.0}  # fmt: skip
        ranges.append({**row("cuda_profiler_range", kernel, 0, 0, **metrics), "pid": 0, "tid": 0})
        now += 60
    for number, event in enumerate(ranges):
        event["ts"], event["dur"] = 1000 + (now - 1000) / len(ranges) * number, (now - 1000) / len(ranges)
    return host + ranges


def row(cat: str, name: str, ts: float, dur: float, **args: Any) -> Event:
    return {"ph": "X", "cat": cat, "name": name, "pid": 9, "tid": 9, "ts": ts, "dur": dur, "args": args}


@pytest.fixture
def analyzed(tmp_path: Path) -> Callable[[list[Event]], Analysis]:
    def analyze(events: list[Event]) -> Analysis:
        device = {
            "id": 0,
            "name": "NVIDIA A100-SXM4-80GB",
            "computeMajor": 8,
            "computeMinor": 0,
            "numSms": 108,
        }
        path = tmp_path / "counters.json"
        path.write_text(json.dumps({"deviceProperties": [device], "traceEvents": events}))
        return traceanalyzer.analyze(path)

    return analyze


def ranges(events: list[Event]) -> list[Event]:
    return [event for event in events if event["cat"] == "cuda_profiler_range"]


def warned(analysis: Analysis) -> dict[str, str]:
    return {notice.code: notice.message for notice in analysis.source.warnings}


def test_measured_bytes_stand_beside_ours(analyzed: Callable[[list[Event]], Analysis]) -> None:
    """Ranges are given to operators in the order of their launches; copies have none."""
    analysis = analyzed(recorded())
    rows = {row.name: row for row in analysis.op_rows}
    assert {name: row.counter_bytes for name, row in rows.items()} == {
        "aten::mul": 2 * 12 * N, "aten::mm": 2 * 16 * N, "aten::add": 2 * 6 * N,
    }  # fmt: skip
    assert {(row.read_bytes, row.write_bytes) for row in rows.values()} == {(2 * 8 * N, 2 * 4 * N)}
    assert {name: row.kernel_names[0].name for name, row in rows.items()} == {
        name: kernel for name, (kernel, _, _) in OPERATORS.items()
    }
    assert [row.name for row in analysis.op_rows] == ["aten::mm", "aten::mul", "aten::add"], (
        "most bytes first"
    )


def test_the_ratio_and_what_explains_it(analyzed: Callable[[list[Event]], Analysis]) -> None:
    analysis = analyzed(recorded())
    said = {row.name: counted(row, analysis) for row in analysis.op_rows}
    assert said["aten::mul"] == (
        "403 MB of DRAM traffic (201 MB per call) = 1.00 × the 403 MB predicted: as predicted"
    )
    assert "= 1.33 × the 403 MB predicted: the kernels read or write again" in said["aten::mm"]
    assert said["aten::add"].endswith("= 0.5 × the 403 MB predicted: part of it was or stayed in the cache")


def test_no_time_is_made_of_the_slices(analyzed: Callable[[list[Event]], Analysis]) -> None:
    analysis = analyzed(recorded())
    assert analysis.time.busy_ns == 0 and {row.time_ns for row in analysis.op_rows} == {0}
    idle = {part.cause: part.time_ns for part in analysis.time.idle_by_cause}
    assert not any(idle.values()) and analysis.window.window_ns == 0
    assert not analysis.suggestions
    assert verdict_sentence(analysis) == (
        "This recording has hardware counters of 6 kernels and no times: what takes how long is not known. "
        "They moved 1.14 GB."
    )
    assert "need a recording of their own" in warned(analysis)["counters_without_times"]


def test_the_order_of_rows_in_the_file_does_not_matter(analyzed: Callable[[list[Event]], Analysis]) -> None:
    assert analyzed(recorded()[::-1]).op_rows == analyzed(recorded()).op_rows


def test_where_a_launch_has_no_range_none_is_given_to_an_operator(
    analyzed: Callable[[list[Event]], Analysis],
) -> None:
    analysis = analyzed(recorded()[:-1])
    assert {row.reason for row in analysis.op_rows} == {"no_correlation"}
    assert {row.name: row.counter_bytes for row in analysis.op_rows} == {
        MUL: 2 * 12 * N, MM: 2 * 16 * N, ADD: 6 * N,
    }  # fmt: skip
    assert "6 launches were recorded" in warned(analysis)["counters_without_times"]


def test_ranges_of_two_devices_are_not_told_apart(analyzed: Callable[[list[Event]], Analysis]) -> None:
    events = recorded()
    ranges(events)[0]["pid"] = 1
    assert all(row.reason == "no_correlation" for row in analyzed(events).op_rows)


@pytest.mark.parametrize("value", [None, "12", -1, float("nan"), 1e30, [3]])
def test_bytes_that_are_none_are_not_counted(
    value: object, analyzed: Callable[[list[Event]], Analysis]
) -> None:
    events = recorded()
    for event in ranges(events):
        event["args"]["dram__bytes_read.sum"] = value
    analysis = analyzed(events)
    assert {row.counter_bytes for row in analysis.op_rows} == {None}
    assert verdict_sentence(analysis).endswith("0 of them moved 0 B; the bytes of the others are not known.")


def test_other_metrics_alone_are_a_recording_without_times_too(
    analyzed: Callable[[list[Event]], Analysis],
) -> None:
    events = recorded()
    for event in ranges(events):
        event["args"] = {"smsp__inst_executed.sum": 12}
    analysis = analyzed(events)
    assert analysis.time.busy_ns == 0 and "counters_without_times" in warned(analysis)


def test_beside_kernels_with_times_ranges_are_left_out(analyzed: Callable[[list[Event]], Analysis]) -> None:
    kernel = row("kernel", MUL, 1100, 40, correlation=1, device=0, stream=7)
    analysis = analyzed([*recorded(), kernel])
    assert analysis.time.busy_ns == 40_000 and "counters_without_times" not in warned(analysis)
    assert warned(analysis)["counters_left_out"].startswith(
        "6 ranges of hardware counters stand beside 1 kernels"
    )


def test_copies_with_times_do_not_hide_them(analyzed: Callable[[list[Event]], Analysis]) -> None:
    copy = row("gpu_memset", "Memset (Device)", 1100, 2, correlation=2, device=0, stream=7, bytes=64)
    analysis = analyzed([*recorded(), copy])
    assert analysis.time.busy_ns == 0
    assert all(row.counter_bytes for row in analysis.op_rows)
    assert "1 copies with times are left out" in warned(analysis)["counters_without_times"]


def test_what_is_counted_in_part_says_of_how_many(analyzed: Callable[[list[Event]], Analysis]) -> None:
    """One of two ranges of the product has lost its reads: of the row nothing is told, of the rest it is."""
    events = recorded()
    del next(event for event in ranges(events) if event["name"] == MM)["args"]["dram__bytes_read.sum"]
    analysis = analyzed(events)
    assert {row.name for row in analysis.op_rows if row.counter_bytes is None} == {"aten::mm"}
    said = verdict_sentence(analysis)
    assert "counters of 6 kernels" in said and "4 of them moved 604 MB; the bytes of the others" in said


@pytest.mark.parametrize("shift", [1, 2, 4])
def test_ranges_in_another_order_are_no_operators(
    shift: int, analyzed: Callable[[list[Event]], Analysis]
) -> None:
    """As many as launches, but each beside its place: a product would have run an element-wise kernel."""
    events = recorded()
    own = ranges(events)
    names = [event["name"] for event in own]
    for event, name in zip(own, names[shift:] + names[:shift], strict=True):
        event["name"] = name
    analysis = analyzed(events)
    assert {row.counter_bytes for row in analysis.op_rows} == {None}
    assert " would have run " in warned(analysis)["counters_out_of_order"]


def test_steps_of_such_a_recording_have_no_times(analyzed: Callable[[list[Event]], Analysis]) -> None:
    steps = [
        row("user_annotation", f"ProfilerStep#{number}", 1000 + 180 * number, 179) for number in range(2)
    ]
    analysis = analyzed([*recorded(), *steps])
    assert analysis.step_rows is None and analysis.window.window_ns == 0
    assert all(row.counter_bytes for row in analysis.op_rows)
