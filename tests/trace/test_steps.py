"""Steps and windows: what is selected, what is left out, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from tests.trace.build import Rows
from traceanalyzer.records import Recording
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.trace import RecordKind, Step, Trace, Window
from traceanalyzer.trace import load, select_window
from traceanalyzer.trace.linking.steps import within

FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")
US = 1000


def training(steps: list[tuple[int, int, int]], *, gpu: bool = True) -> Rows:
    """(number, start, end) in µs; each step launches one kernel 10 µs in, that runs 5 to 25 µs later."""
    rows = Rows()
    for number, start, end in steps:
        rows.annotation(f"ProfilerStep#{number}", start * US, end * US)
        rows.op("aten::mm", (start + 5) * US, (start + 20) * US)
        if gpu:
            rows.launch(number * 1000 + start, (start + 10) * US)
            rows.kernel(f"k{number}", (start + 15) * US, (start + 35) * US, number * 1000 + start)
    return rows


def numbers(window: Window) -> list[int]:
    return [step.number for step in window.steps]


def span(window: Window) -> tuple[int, int]:
    return window.start_ns // US, window.end_ns // US


THREE = [(3, 0, 100), (4, 100, 200), (5, 200, 300)]


@pytest.mark.parametrize(
    ("steps", "expected", "interval"),
    [
        ("complete", [3, 4, 5], (0, 300)),
        ("all", [], (15, 235)),
        ("4", [4], (100, 200)),
        ("3-4", [3, 4], (0, 200)),
        (" 4 - 5 ", [4, 5], (100, 300)),
    ],
)
def test_a_host_that_does_not_run_ahead_makes_the_annotations_the_window(
    steps: str, expected: list[int], interval: tuple[int, int]
) -> None:
    window = select_window(training(THREE).trace(), 0, steps)
    assert (numbers(window), span(window)) == (expected, interval)


def test_a_host_that_runs_ahead_shifts_the_steps_and_does_not_stretch_them() -> None:
    rows = Rows()
    for number in (1, 2, 3):  # the host takes 10 us, the device 30
        rows.annotation(f"ProfilerStep#{number}", 10 * number * US, 10 * (number + 1) * US)
        rows.launch(number, (10 * number + 5) * US)
        rows.kernel("k", 30 * number * US, 30 * (number + 1) * US, number)
    trace = rows.trace()
    assert [cut // US for cut in select_window(trace, 0).cuts] == [10, 60, 90, 120]
    assert [cut // US for cut in select_window(trace, 0, "2-3").cuts] == [60, 90, 120]


def test_the_wait_for_data_before_the_first_kernel_is_of_the_step() -> None:
    rows = Rows()
    for number in (1, 2):
        rows.annotation(f"ProfilerStep#{number}", 100 * number * US, 100 * (number + 1) * US)
        rows.launch(number, (100 * number + 80) * US)
        rows.kernel("k", (100 * number + 81) * US, (100 * number + 95) * US, number)
    assert [cut // US for cut in select_window(rows.trace(), 0).cuts] == [100, 200, 300]


def test_steps_whose_activity_was_dropped_are_left_out_and_told() -> None:
    rows = training(THREE)
    for number in (1, 2):
        rows.annotation(f"ProfilerStep#{number}", (100 * number - 300) * US, (100 * number - 200) * US)
        rows.launch(90 + number, (100 * number - 250) * US)
    window = select_window(rows.trace(), 0)
    assert numbers(window) == [3, 4, 5] and span(window) == (0, 300)
    (told,) = window.notices
    assert told.code == "steps_not_recorded" and told.count == 2 and "1-2" in told.message


def test_a_window_whose_steps_are_not_the_annotations_is_told() -> None:
    rows = training(THREE)
    rows.launch(1, 250 * US)
    rows.kernel("left over", 290 * US, 400 * US, 1)
    (told,) = select_window(rows.trace(), 0).notices
    assert told.code == "window_unlike_steps" and "133" in told.message
    assert not select_window(training(THREE).trace(), 0).notices


def test_activity_of_other_steps_and_without_a_launch_does_not_move_the_window() -> None:
    rows = training(THREE)
    rows.kernel("queued before the recording", -50 * US, 5 * US, -1)
    rows.kernel("launched elsewhere", 290 * US, 400 * US, 777)
    rows.launch(777, 299 * US)
    trace = rows.trace()
    assert span(select_window(trace, 0, "4")) == (100, 200)
    assert span(select_window(trace, 0, "complete")) == (5, 400)
    assert span(select_window(trace, 0, "all")) == (-50, 400)


def test_a_launch_on_any_thread_counts_to_the_step() -> None:
    rows = training(THREE)
    rows.launch(9, 150 * US, thread=5)
    rows.kernel("backward", 180 * US, 240 * US, 9)
    assert span(select_window(rows.trace(), 0, "4")) == (100, 240)
    assert span(select_window(rows.trace(), 0, "5")) == (240, 300)


def test_a_kernel_of_another_stream_from_before_the_steps_takes_no_step_away() -> None:
    for end in (1, 17, 120, 250, 900):  # µs: before the first kernel, in the first step, ..., after the last
        rows = training(THREE)
        rows.launch(1, -50 * US)
        rows.kernel("persistent", -40 * US, end * US, 1, stream=30)
        window = select_window(rows.trace(), 0)
        assert [cut // US for cut in window.cuts] == [1 if end == 1 else 0, 100, 200, 300]
        assert not window.notices


def test_a_kernel_that_the_first_step_leaves_running_takes_no_later_step_away() -> None:
    rows = training(THREE)
    rows.launch(1, 5 * US)
    rows.kernel("monitor", 6 * US, 290 * US, 1, stream=30)
    assert [cut // US for cut in select_window(rows.trace(), 0).cuts] == [0, 100, 200, 300]


def test_a_step_without_activity_begins_where_the_one_before_it_ended() -> None:
    rows = training([(3, 0, 100), (5, 200, 300)])
    rows.annotation("ProfilerStep#4", 100 * US, 200 * US)
    rows.launch(1, -50 * US)
    rows.kernel("persistent", -40 * US, 900 * US, 1, stream=30)
    assert [cut // US for cut in select_window(rows.trace(), 0).cuts] == [0, 100, 200, 300]


def test_a_copy_ahead_of_the_step_does_not_pull_the_step_into_the_one_before() -> None:
    rows = Rows()
    for number in (1, 2, 3):  # the host takes 10 us, the device 30; the copy for a step runs at once
        rows.annotation(f"ProfilerStep#{number}", 10 * number * US, 10 * (number + 1) * US)
        rows.launch(10 + number, (10 * number + 1) * US, name="cudaMemcpyAsync")
        rows.kernel("Memcpy HtoD", (10 * number + 2) * US, (10 * number + 4) * US, 10 + number, stream=20,
                    kind=RecordKind.MEMCPY)  # fmt: skip
        rows.launch(number, (10 * number + 5) * US)
        rows.kernel("k", 30 * number * US, 30 * (number + 1) * US, number)
    assert [cut // US for cut in select_window(rows.trace(), 0).cuts] == [10, 60, 90, 120]


def test_steps_whose_work_runs_beside_one_another_are_cut_at_their_annotations() -> None:
    rows = Rows()
    for number, stream, start, end in ((1, 7, 106, 390), (2, 8, 206, 290), (3, 7, 391, 399)):
        rows.annotation(f"ProfilerStep#{number}", 100 * number * US, 100 * (number + 1) * US)
        rows.launch(number, (100 * number + 5) * US)
        rows.kernel("k", start * US, end * US, number, stream=stream)
    window = select_window(rows.trace(), 0)
    assert [cut // US for cut in window.cuts] == [100, 200, 300, 400]
    (told,) = window.notices
    assert told.code == "steps_overlap" and "the work of 2 runs" in told.message


@pytest.mark.parametrize("gpu", [True, False])
def test_a_short_last_step_is_a_stub(gpu: bool) -> None:
    trace = training([*THREE, (6, 300, 309)], gpu=gpu).trace()
    assert numbers(select_window(trace, 0)) == [3, 4, 5]
    assert numbers(select_window(training([*THREE, (6, 300, 340)], gpu=gpu).trace(), 0)) == [3, 4, 5, 6]


def test_a_step_that_is_left_out_is_said() -> None:
    rows = training([*THREE, (6, 300, 309)])
    assert not select_window(rows.trace(), 0).notices, "what the profiler leaves open is no step"
    rows.launch(7, 305 * US)
    (notice,) = select_window(rows.trace(), 0).notices
    assert notice.code == "last_step_left_out"
    assert "ProfilerStep#6" in notice.message and "9.00 µs, others 100 µs" in notice.message
    rows = training(THREE)
    rows.annotation("ProfilerStep#6", 300 * US, 390 * US)
    (notice,) = select_window(rows.trace(), 0).notices
    assert "it launched nothing" in notice.message


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("name", ["step[DECODE bs=16]", "execute_context_0(0)_generation_1(1)", "train_step"])
def test_a_short_last_step_of_an_engine_was_one(name: str, gpu: bool) -> None:
    rows = training([], gpu=gpu)
    for number, (start, end) in enumerate(((0, 1000), (1000, 2000), (2000, 2060))):
        rows.annotation(name, start * US, end * US)
        rows.op("aten::mm", (start + 5) * US, (start + 20) * US)
        if gpu:
            rows.launch(number, (start + 10) * US)
            rows.kernel("k", (start + 15) * US, (start + 35) * US, number)
    assert numbers(select_window(rows.trace(), 0)) == [0, 1, 2]


def test_a_short_step_is_no_stub_where_all_that_were_wanted_are_there() -> None:
    trace = training([*THREE, (6, 300, 309)]).trace()
    wanted = {count: Recording(active=count, complete=True) for count in (3, 4)}
    assert numbers(select_window(replace(trace, recording=wanted[4]), 0)) == [3, 4, 5, 6]
    assert numbers(select_window(replace(trace, recording=wanted[3]), 0)) == [3, 4, 5]
    cut = Recording(active=4, complete=False)
    assert numbers(select_window(replace(trace, recording=cut), 0)) == [3, 4, 5]


def test_a_last_step_without_launches_is_a_stub_however_long() -> None:
    rows = training(THREE)
    rows.annotation("ProfilerStep#6", 300 * US, 390 * US)
    rows.launch(-1, 350 * US, name="cudaDeviceSynchronize")
    assert numbers(select_window(rows.trace(), 0)) == [3, 4, 5]
    rows.launch(1234, 360 * US)
    assert numbers(select_window(rows.trace(), 0)) == [3, 4, 5, 6]


def test_a_lone_step_is_never_dropped() -> None:
    assert numbers(select_window(training([(1, 0, 100)]).trace(), 0)) == [1]


def test_without_steps_the_window_is_the_whole_trace() -> None:
    rows = Rows()
    rows.op("aten::mm", 0, 10)
    rows.kernel("a", 5, 10)
    rows.kernel("b", 50, 90)
    trace = rows.trace()
    assert select_window(trace, 0, "complete") == Window((5, 90), ())
    with pytest.raises(UsageError, match="no ProfilerStep"):
        select_window(trace, 0, "1-2")


def test_steps_that_launched_nothing_on_a_device_leave_its_whole_trace() -> None:
    rows = training(THREE)
    rows.kernel("elsewhere", 7, 9, device=1)
    trace = rows.trace()
    assert select_window(trace, 1) == Window((7, 9), ())
    with pytest.raises(UsageError, match="4"):
        select_window(trace, 1, "4")


def test_on_a_cpu_trace_the_steps_themselves_are_the_window() -> None:
    trace = training(THREE, gpu=False).trace()
    assert trace.on_cpu
    assert span(select_window(trace, 0)) == (0, 300)
    assert span(select_window(trace, 0, "4")) == (100, 200)


@pytest.mark.parametrize("steps", ["6", "1-4", "4-9", "5-4"])
def test_steps_that_are_not_there_are_refused_by_naming_those_that_are(steps: str) -> None:
    with pytest.raises(UsageError) as refusal:
        select_window(training([*THREE, (13, 500, 600)]).trace(), 0, steps)
    assert "3-5, 13" in refusal.value.fix


def test_a_range_that_ends_before_it_begins_is_told_so() -> None:
    for steps, fix in (("5-4", "give --steps 4-5, or choose"), ("9-3", "choose from its steps: 3-5")):
        with pytest.raises(UsageError, match=f"--steps {steps} ends before it begins") as refusal:
            select_window(training(THREE).trace(), 0, steps)
        assert refusal.value.fix.startswith(fix)


@pytest.mark.parametrize("steps", ["", "some", "-1", "3,4", "3-", "3-4-5", "1.5"])
def test_what_is_no_range_is_refused(steps: str) -> None:
    with pytest.raises(UsageError):
        select_window(training(THREE).trace(), 0, steps)


def codes(trace: Trace) -> dict[str, str]:
    return {warning.code: warning.message for warning in trace.warnings}


def test_several_recordings_in_one_file_are_told() -> None:
    trace = training([(3, 0, 100), (4, 100, 200), (13, 900, 1000), (14, 1000, 1100)]).trace()
    assert "700 µs" in codes(trace)["step_gaps"]
    assert "3-4, 13-14" in codes(trace)["step_gaps"]
    assert span(select_window(trace, 0, "13-14")) == (900, 1100)
    assert numbers(select_window(trace, 0, "3-14")) == [3, 4, 13, 14]
    assert not codes(training(THREE).trace())


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ([(3, 0, 100), (4, 100, 200), (13, 900, 1000), (14, 1000, 1100)], [900, 1000]),  # the last of equals
        ([(3, 0, 100), (4, 100, 200), (5, 200, 300), (9, 500, 600), (10, 600, 700)], [0, 100, 200]),
        (
            [(0, 0, 100), (1, 100, 200), (0, 500, 600), (1, 600, 700), (2, 700, 705)],
            [500, 600],
        ),  # with a stub
    ],
)
def test_of_several_cycles_with_nothing_between_them_one_is_taken(
    recorded: list[tuple[int, int, int]], expected: list[int], gpu: bool
) -> None:
    window = select_window(training(recorded, gpu=gpu).trace(), 0)
    assert [step.start_ns // US for step in window.steps] == expected
    assert window.end_ns // US == expected[-1] + 100
    (told,) = (each for each in window.notices if each.code == "one_cycle_of_several")
    assert told.count == 2


def test_steps_that_were_not_marked_are_no_pause_of_the_recording() -> None:
    rows = training([(3, 0, 100), (4, 100, 200), (9, 600, 700), (10, 700, 800)])
    for start in range(200, 600, 50):
        rows.op("aten::mm", start * US, (start + 20) * US, thread=2)
    window = select_window(rows.trace(), 0)
    assert numbers(window) == [3, 4, 9, 10]
    assert "one_cycle_of_several" not in {each.code for each in window.notices}


def test_numbering_that_restarts_is_told_and_a_range_takes_all_of_that_number() -> None:
    trace = training([(0, 0, 100), (1, 100, 200), (0, 500, 600), (1, 600, 700)]).trace()
    assert {"repeated_steps", "step_gaps"} <= set(codes(trace))
    assert [step.start_ns // US for step in select_window(trace, 0, "1").steps] == [100, 600]


def test_a_step_recorded_twice_is_one_step() -> None:
    rows = training(THREE)
    rows.annotation("ProfilerStep#4", 101 * US, 199 * US)
    rows.annotation("ProfilerStep#4", 100 * US, 200 * US, thread=3)
    trace = rows.trace()
    assert [(s.number, s.start_ns // US, s.end_ns // US) for s in trace.steps] == THREE
    assert not codes(trace)


@pytest.mark.skipif(not FOLDER, reason="TRACEANALYZER_REAL_TRACES is not set")
@pytest.mark.parametrize(
    ("name", "expected"),
    [("toy_mi250", [1]), ("infer_qwen_h100", [6]), ("train_v100_float_epoch", [101, 102, 103, 104, 105]),
     ("cpu_only_rank34of300", [551, 552, 553, 554, 555]), ("infer_sam_a100_large", [])],
)  # fmt: skip
def test_complete_steps_of_real_traces(name: str, expected: list[int]) -> None:
    assert FOLDER
    trace = load(str(Path(FOLDER) / f"{name}.json.gz"))
    assert numbers(select_window(trace, int(trace.kernels.device[0]))) == expected


@pytest.mark.parametrize("seed", range(20))
def test_borders_of_random_queues_are_those_of_a_slow_calculation(seed: int) -> None:
    """Three streams that each run in order, launched by a host that is ahead or waits; some launches lost."""
    draw = np.random.default_rng(seed)
    rows = Rows()
    free = [0, 0, 0]
    work: list[tuple[int, int, int, int]] = []  # launch or -1, start, end, stream
    marks = [(1000 * i, 1000 * i + int(draw.integers(600, 1000))) for i in range(6)]
    for launched, at in enumerate(np.sort(draw.choice(6500, 60, replace=False)).tolist(), 1):
        stream = int(draw.choice(3, p=[0.7, 0.2, 0.1]))
        start = max(at + 10, free[stream])
        end = free[stream] = start + int(draw.integers(5, 150 if stream == 0 else 900))
        lost = draw.random() < 0.1
        rows.kernel("k", start, end, -1 if lost else launched, stream=stream)
        if not lost:
            rows.launch(launched, at)
        work.append((-1 if lost else at, start, end, stream))
    for number, (begin, end) in enumerate(marks):
        rows.annotation(f"ProfilerStep#{number}", begin, end)
    window = select_window(rows.trace(), 0, "0-5")
    expected = cuts(marks, work)
    if "steps_overlap" in {each.code for each in window.notices}:
        assert any(a == b for a, b in zip(expected, expected[1:], strict=False))
        expected[:-1] = [begin for begin, _ in marks]
    assert list(window.cuts) == expected


def cuts(marks: list[tuple[int, int]], work: list[tuple[int, int, int, int]]) -> list[int]:
    starts: list[int] = []
    main_end: list[int] = []
    for begin, end in marks:
        mine = [each for each in work if begin <= each[0] <= end]
        first = min((start for _, start, *_ in mine), default=0)
        streams = [stream for *_, stream in mine]
        main = max(sorted(set(streams)), key=streams.count, default=-1)
        opens = min((start for _, start, _, stream in mine if stream == main), default=0)
        before = [each for each in work if (each[1] < first if each[0] < 0 else each[0] < begin)]
        ends = [end for *_, end, stream in before if mine and (stream == main or end <= opens)]
        starts.append(max([begin, *starts[-1:], *ends, *main_end]))
        main_end = [max(end for *_, end, stream in mine if stream == main)] if mine else main_end
    inside = [end for launch, _, end, _ in work if any(a <= launch <= b for a, b in marks)]
    return [*starts, max([*inside, marks[-1][1], starts[-1]])]


def test_many_steps_are_marked_as_each_alone() -> None:
    draw = np.random.default_rng(7)
    starts = draw.integers(0, 1000, 30)
    chosen = [Step("s", i, int(a), int(a + draw.integers(0, 60))) for i, a in enumerate(starts)]
    moments = np.arange(-5, 1100)
    expected = [any(s.start_ns <= m <= s.end_ns for s in chosen) for m in moments.tolist()]
    assert within(moments, chosen).tolist() == [m >= 0 and e for m, e in zip(moments, expected, strict=True)]
    assert not within(moments, []).any()
