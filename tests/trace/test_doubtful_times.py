"""Times that cannot be are said and not believed; whatever can be stays as it was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.trace.build import Rows
from traceanalyzer.records import Analysis, Notice
from traceanalyzer.records.trace import Trace

US = 1000


def queue(count: int = 200, *, stream: int = 7) -> Rows:
    """Kernels of 50 µs, one each 60 µs on one stream, each launched 20 µs before."""
    rows = Rows()
    for i in range(count):
        at = 60 * US * i
        rows.op("aten::add", at, at + 10 * US)
        rows.launch(i + 1, at + 2 * US)
        rows.kernel("add", at + 20 * US, at + 70 * US, i + 1, stream=stream)
    return rows


def with_end(rows: Rows, row: int, end: int) -> Rows:
    start, _, *rest = rows.kernels[row]
    rows.kernels[row] = (start, end, *rest)
    return rows


def notice(trace: Trace, code: str) -> Notice | None:
    return next((notice for notice in trace.warnings if notice.code == code), None)


def test_a_duration_over_its_own_stream_counts_up_to_the_next_start() -> None:
    trace = with_end(queue(), 100, 10**9).trace()
    impossible = notice(trace, "impossible_duration")
    assert impossible is not None and impossible.count == 1
    assert "add" in impossible.message and "994 ms" in impossible.message and "60.0 µs" in impossible.message
    kernels = trace.kernels
    assert (kernels.duration_ns == kernels.end_ns - kernels.start_ns).all()
    assert kernels.duration_ns[100] == 60 * US
    assert kernels.duration_ns.sum() == 199 * 50 * US + 60 * US
    assert (kernels.start_ns[1:] >= kernels.start_ns[:-1]).all()


def test_several_are_counted_and_the_longest_is_named() -> None:
    rows = with_end(with_end(queue(), 20, 10**7), 100, 10**9)
    impossible = notice(rows.trace(), "impossible_duration")
    assert impossible is not None and impossible.count == 2 and "994 ms" in impossible.message


@pytest.mark.parametrize("overlap_us", [2, 40])
def test_programmatic_launches_overlap_their_neighbor(overlap_us: int) -> None:
    rows = queue()
    for row in range(199):
        with_end(rows, row, rows.kernels[row + 1][0] + overlap_us * US)
    trace = rows.trace()
    assert notice(trace, "impossible_duration") is None
    assert trace.kernels.duration_ns.sum() == 199 * (60 + overlap_us) * US + 50 * US


def test_a_long_kernel_of_another_stream_is_possible() -> None:
    rows = queue()
    rows.kernel("all-reduce", 0, 10**9, stream=20)
    assert notice(rows.trace(), "impossible_duration") is None


def test_kernels_of_one_graph_may_run_side_by_side() -> None:
    rows = Rows()
    rows.launch(1, 0, name="cudaGraphLaunch")
    rows.kernel("long", 10 * US, 900 * US, 1)
    for i in range(8):
        rows.kernel("short", (20 + 100 * i) * US, (90 + 100 * i) * US, 1)
    assert notice(rows.trace(), "impossible_duration") is None


def test_a_stream_on_which_much_overlaps_is_none() -> None:
    rows = queue()
    for row in range(0, 190, 5):
        with_end(rows, row, rows.kernels[row + 4][1] + 1)
    trace = rows.trace()
    assert notice(trace, "impossible_duration") is None
    assert trace.kernels.duration_ns.max() == 290 * US + 1, "as it was recorded"
    overlapping = notice(trace, "overlapping_stream")
    assert overlapping is not None and overlapping.count == 38
    assert "290 µs" in overlapping.message and "stream, 7," in overlapping.message


@pytest.mark.parametrize("wrong", [3, 4, 6, 50, 150])
def test_any_number_of_durations_that_no_streams_could_run_are_not_believed(wrong: int) -> None:
    rows = queue()
    for row in range(wrong):
        with_end(rows, row + 20, 10**9)
    trace = rows.trace()
    impossible = notice(trace, "impossible_duration")
    assert impossible is not None and impossible.count == wrong
    assert trace.kernels.duration_ns.sum() == (200 * 50 + wrong * 10) * US
    assert notice(trace, "overlapping_stream") is None


def test_what_could_be_two_streams_called_one_is_said_and_kept() -> None:
    rows = queue()
    for number in range(8):  # communication beside it, for two thirds of the time
        rows.kernel("all-reduce", (1400 * number + 25) * US, (1400 * number + 1000) * US, 1000 + number)
    trace = rows.trace()
    assert trace.kernels.duration_ns.sum() == (200 * 50 + 8 * 975) * US
    overlapping = notice(trace, "overlapping_stream")
    assert overlapping is not None and "all-reduce for 975 µs" in overlapping.message


def late(steps: int, *, at_once: bool = True, marked: bool = True) -> Kineto:
    """Steps of 20 ms, 40 launches 0.4 ms apart; the kernels run at once, or all behind the step."""
    t = Kineto()
    for step in range(steps):
        begin = 30_000.0 * step
        if marked:
            t.annotation(f"ProfilerStep#{step}", begin, 20_000)
        for i in range(40):
            ts = begin + 100 + 400 * i
            t.run("aten::mm", ts, "gemm", ts + 10 if at_once else begin + 20_500 + 51 * i, 50,
                  ([512, 512], "float"), ([512, 512], "float"))  # fmt: skip
    return t


def causes(analysis: Analysis) -> dict[str, int]:
    return {part.cause: part.time_ns for part in analysis.time.idle_by_cause if part.time_ns}


def codes(analysis: Analysis) -> set[str]:
    return {notice.code for notice in analysis.source.warnings}


@pytest.mark.parametrize(("steps", "marked"), [(3, True), (1, True), (1, False)])
def test_a_burst_behind_its_step_says_nothing_of_the_host(tmp_path: Path, steps: int, marked: bool) -> None:
    path = late(steps, at_once=False, marked=marked).write(tmp_path / "t.json")
    analysis = traceanalyzer.analyze(path)
    assert "late_timestamps" in codes(analysis)
    assert set(causes(analysis)) <= {"unknown"}
    assert [s.rule for s in analysis.suggestions if s.rule == "launch_bound"] == []
    assert analysis.time.busy_ns == steps * 40 * 50_000
    assert set(analysis.ops["name"]) == {"aten::mm"}, "linked as before"


def test_kernels_that_start_as_they_are_launched_are_believed(tmp_path: Path) -> None:
    analysis = traceanalyzer.analyze(late(3).write(tmp_path / "t.json"))
    assert "late_timestamps" not in codes(analysis)
    assert causes(analysis)["launch_gap"] > 0


def test_a_host_that_runs_ahead_of_a_busy_device_is_believed(tmp_path: Path) -> None:
    t = late(1, at_once=False)
    t.kernel("queued earlier", -5_000, 25_490, 7)
    assert "late_timestamps" not in codes(traceanalyzer.analyze(t.write(tmp_path / "t.json")))


def test_a_queue_that_is_held_up_once_is_believed(tmp_path: Path) -> None:
    t = late(4)
    held = [event for event in t.events if event["cat"] == "kernel" and event["ts"] < 20_000]
    for i, event in enumerate(held):
        event["ts"] = 20_500 + 51 * i
    assert "late_timestamps" not in codes(traceanalyzer.analyze(t.write(tmp_path / "t.json")))


def test_graphs_without_kernels_are_told_apart_from_lost_records() -> None:
    rows = queue(30)
    for i in range(10):
        rows.launch(1000 + i, 10**7 + i * US, name="cudaGraphLaunch")
    rows.kernel("in graph", 10**7 + 50, 10**7 + 90, 1000)
    told = {warning.code: warning for warning in rows.trace().warnings}
    assert told["graphs_under_recorded"].count == 9
    assert "of 10 graph launches 9" in told["graphs_under_recorded"].message
    assert "launches_without_kernels" not in told


def test_graphs_most_of_which_have_kernels_are_not_told() -> None:
    rows = queue(30)
    for i in range(10):
        rows.launch(1000 + i, 10**7 + i * US, name="hipGraphLaunch")
        if i < 6:
            rows.kernel("in graph", 10**7 + i * US + 50, 10**7 + i * US + 90, 1000 + i)
    assert notice(rows.trace(), "graphs_under_recorded") is None


def test_a_clock_that_runs_behind_for_most_is_said_to() -> None:
    rows = queue(40)
    rows.kernels = [(start - 40 * US, end - 40 * US, *rest) for start, end, *rest in rows.kernels]
    early = notice(rows.trace(), "starts_before_launch")
    assert early is not None and early.count == 40
    assert "100.0 %" in early.message and "22.0 µs in the median" in early.message
