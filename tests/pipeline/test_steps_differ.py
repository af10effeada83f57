"""Steps that differ: no figure is an average over them: sentence, bars, advice."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from tests.pipeline import real
from tests.pipeline.kineto import Kineto
from tests.pipeline.loops import COPY_OUT, Loop, Work, act, mm
from traceanalyzer.analyzing import analyze
from traceanalyzer.records import Job, OfKind, StepKind
from traceanalyzer.report import render
from traceanalyzer.report.sentence import headline, verdict_sentence
from traceanalyzer.report.view import view_of

FORWARD = (mm(4096, 4096, 4096, 600), act("aten::gelu", (4096, 4096), 200), mm(4096, 4096, 4096, 600))
UPDATE = act("aten::_foreach_add_", (4096, 4096), 120)


def codes(job: Job) -> list[str]:
    return [notice.code for notice in job.source.warnings]


def members(job: Job) -> list[list[int]]:
    """The numbers of the steps of each kind."""
    kinds = job.window.kinds or ()
    return [[int(name.rpartition("#")[2]) for name in kind.steps] for kind in kinds]


def kind_of(job: Job, number: int) -> StepKind:
    return next(kind for kind in job.window.kinds or () if f"ProfilerStep#{number}" in kind.steps)


def checkpointing(folder: Path) -> Job:
    """Four steps of 1.4 ms, of which the third copies its weights out for 5 ms and writes them for 15."""
    loop = Loop()
    for number in range(4):
        if number == 2:
            copy = Work("", COPY_OUT, 5000)
            loop.step(*FORWARD, copy, before=15_000, doing="save_checkpoint")
        else:
            loop.step(*FORWARD)
    return loop.told(folder)


def test_steps_that_are_alike_are_told_per_step(tmp_path: Path) -> None:
    loop = Loop()
    for _ in range(3):
        loop.step(*FORWARD)
    job = loop.told(tmp_path)
    assert job.window.kinds is None
    assert "steps_differ" not in codes(job)
    assert "of each 1.4 ms step" in verdict_sentence(job)
    assert view_of(job, 5).heading == "per step"


def test_one_step_that_saves_a_checkpoint_is_told_apart(tmp_path: Path) -> None:
    job = checkpointing(tmp_path)
    assert members(job) == [[5, 6, 8], [7]]
    assert kind_of(job, 7).why.startswith("15 times as long; runs other operators: Memcpy DtoH")
    assert codes(job).count("steps_differ") == 1
    told = headline(job)
    assert "of the 1.4 ms step ProfilerStep#6" in told.lead
    assert told.more[0] == (
        "The longest, ProfilerStep#7, takes 21.4 ms: 15 ms more waiting for host work: save_checkpoint and "
        "5.0 ms more in copies."
    )
    assert "6.4 ms" not in verdict_sentence(job)  # the average


def test_bars_are_of_the_step_that_is_shown_and_totals_stay_in_the_json(tmp_path: Path) -> None:
    job = checkpointing(tmp_path)
    view = view_of(job, 5)
    assert (view.heading, view.rows_heading, view.of_whole) == ("ProfilerStep#6", "all 4 steps", "of step")
    assert job.step_rows
    shown = next(step for step in job.step_rows if step.name == "ProfilerStep#6")
    assert sum(part.time_ns for part in view.parts) == view.window_ns == shown.device_ns
    assert sum(part.time_ns for part in view.idle) == view.parts[-1].time_ns
    assert sum(part.time_ns for part in job.verdicts) == job.time.busy_ns > 4 * 1_400_000
    assert sum(step.device_ns for step in job.step_rows) == job.window.window_ns


@pytest.mark.parametrize("name", ["terminal", "md", "html", "txt"])
def test_no_format_shows_the_average_step(tmp_path: Path, name: str) -> None:
    """Suggestions apart, which say themselves what steps they are of."""
    job = structs.replace(checkpointing(tmp_path), suggestions=())
    text = render(job, "txt" if name == "terminal" else name)
    visible = text.split('id="data"')[0]
    assert "ProfilerStep#6" in visible
    assert "per step" not in visible


def test_of_two_steps_the_shorter_is_shown(tmp_path: Path) -> None:
    loop = Loop()
    loop.step(*FORWARD, before=300, doing="log")
    loop.step(*FORWARD)
    job = loop.told(tmp_path)
    assert job.window.kinds is None  # 1.2 times as long, and the same operators
    assert "steps_differ" in codes(job)
    assert "step ProfilerStep#6" in headline(job).lead


def test_the_longest_step_is_not_named_where_the_one_that_is_shown_takes_as_long(tmp_path: Path) -> None:
    loop = Loop()
    for work in (FORWARD, FORWARD, FORWARD[:1], FORWARD, FORWARD):  # the third one takes less
        loop.step(*work)
    job = loop.told(tmp_path)
    assert "steps_differ" in codes(job) and "The longest" not in verdict_sentence(job)


def test_up_to_ten_percent_steps_are_alike(tmp_path: Path) -> None:
    loop = Loop()
    for before in (0, 60, 130):
        loop.step(*FORWARD, before=before)
    assert "steps_differ" not in codes(loop.told(tmp_path))


@pytest.mark.parametrize("gpu", [True, False])
def test_a_pause_between_equal_steps_makes_them_no_kinds(tmp_path: Path, gpu: bool) -> None:
    """Steps of 1 ms with 3 ms, then 5 ms, after them: the last has no pause."""
    t = Kineto() if gpu else Kineto(device=None)
    for start in (1000, 5000, 11_000):
        t.annotation("train_step", start, 1000)
        t.op("aten::mm", start + 1, 998, ([64, 64], "float"), ([64, 64], "float"))
        if gpu:  # the device ends 200 us behind the host
            t.kernel("gemm", start + 10, 1190, t.launch(start + 5))
    job = analyze(t.write(tmp_path / "t.json"))
    assert job.window.kinds is None and "steps_differ" not in codes(job)
    assert [step.extent_ns for step in job.step_rows or ()] == [1_200_000 if gpu else 1_000_000] * 3
    assert sum(step.device_ns for step in job.step_rows or ()) == job.window.window_ns
    (message,) = (each.message for each in job.source.warnings if each.code == "window_unlike_steps")
    assert "lie between one step's end and the next step" in message


def test_of_steps_with_pauses_the_one_of_median_length_is_shown(tmp_path: Path) -> None:
    t = Kineto()
    for start, length in ((0, 1000), (10_000, 1300), (12_000, 1400)):
        t.annotation("train_step", start, length)
        t.op("aten::mm", start + 1, length - 2, ([64, 64], "float"), ([64, 64], "float"))
        t.kernel("gemm", start + 10, length - 10, t.launch(start + 5))
    job = analyze(t.write(tmp_path / "t.json"))
    assert "steps_differ" in codes(job)
    assert "step train_step#1" in headline(job).lead


def test_prefill_is_no_decode(tmp_path: Path) -> None:
    loop = Loop()
    loop.step(mm(512, 4096, 4096, 100), act("aten::silu", (512, 4096), 20), mm(512, 4096, 4096, 100))
    for _ in range(4):
        loop.step(mm(1, 4096, 4096, 90), act("aten::silu", (1, 4096), 3), mm(1, 4096, 4096, 90))
    job = loop.told(tmp_path)
    assert members(job) == [[6, 7, 8, 9], [5]]
    assert kind_of(job, 5).why.startswith("runs other shapes: aten::mm [512, 4096]")
    assert "steps_differ" in codes(job)


def test_a_generator_is_no_discriminator(tmp_path: Path) -> None:
    loop = Loop()
    for _ in range(3):
        loop.step(mm(4096, 1024, 1024, 400), act("aten::relu", (4096, 1024), 100))
        loop.step(mm(4096, 1024, 1024, 400), act("aten::leaky_relu", (4096, 1024), 100))
    job = loop.told(tmp_path)
    kinds = members(job)
    assert sorted(kinds) == [[5, 7, 9], [6, 8, 10]]
    other = kind_of(job, kinds[1][0]).why
    assert "runs other operators: aten::" in other and "does not run aten::" in other
    assert "step ProfilerStep#" in headline(job).lead  # although they take equally long


def test_accumulating_is_no_update(tmp_path: Path) -> None:
    loop = Loop()
    for number in range(6):
        loop.step(*FORWARD, *([UPDATE] if number % 3 == 2 else []))
    job = loop.told(tmp_path)
    assert members(job) == [[5, 6, 8, 9], [7, 10]]
    assert kind_of(job, 7).why == "runs other operators: aten::_foreach_add_"


def test_batches_of_any_length_are_of_one_kind(tmp_path: Path) -> None:
    loop = Loop()
    for rows in (3000, 3100, 3200, 3300):
        loop.step(mm(rows, 4096, 4096, rows / 6), act("aten::gelu", (rows, 4096), rows / 20))
    job = loop.told(tmp_path)
    assert job.window.kinds is None
    assert "steps_differ" not in codes(job)


def test_a_logged_scalar_is_no_kind_of_its_own(tmp_path: Path) -> None:
    loop = Loop()
    for number in range(4):
        loop.step(*FORWARD, *([Work("", COPY_OUT, 2)] if number == 1 else []))
    assert loop.told(tmp_path).window.kinds is None


def test_a_first_step_whose_operators_were_not_recorded_runs_the_same(tmp_path: Path) -> None:
    loop = Loop()
    for _ in range(3):
        loop.step(*FORWARD)
    loop.trace.events = [e for e in loop.trace.events if e["cat"] != "cpu_op" or e["ts"] > 1070]
    job = loop.told(tmp_path)
    assert any(notice.code == "unlinked_no_op" for notice in job.source.warnings)
    assert job.window.kinds is None


def test_advice_is_of_the_step_that_is_shown(tmp_path: Path) -> None:
    """Loading takes 300 µs in three steps and 20 ms in one: an average would promise 5 ms."""
    loop = Loop()
    for before in (300, 20_000, 300, 300):
        loop.step(
            *FORWARD, before=before, doing="enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
        )
    job = loop.told(tmp_path)
    assert job.step_rows and job.suggestions
    shown = next(step for step in job.step_rows if step.name == "ProfilerStep#7")
    loading = next(s for s in job.suggestions if s.rule == "data_loading")
    assert loading.saving_per_step_ns
    assert 200_000 < loading.saving_per_step_ns.high <= 310_000 < shown.device_ns
    assert any("ProfilerStep#7" in caveat for caveat in loading.caveats)
    for suggestion in job.suggestions:
        band = suggestion.saving_per_step_ns
        assert band is None or band.high <= shown.device_ns


def test_no_step_of_a_kind_takes_twice_as_long_as_another(tmp_path: Path) -> None:
    loop = Loop()
    for before in (0, 1000, 1700, 4500, 5600):  # 1.4, 2.4, 3.1, 5.9 and 7.0 ms
        loop.step(*FORWARD, before=before)
    job = loop.told(tmp_path)
    assert sorted(members(job)) == [[5, 6], [7, 8], [9]]
    assert members(job)[0] == [7, 8]  # of 3.1 ms, the median
    assert kind_of(job, 5).why == "45 % as long"
    assert kind_of(job, 7).why == "those like ProfilerStep#7, the step that is shown"


@pytest.mark.slow
def test_kinds_and_shown_figures_of_real_traces_add_up(real_traces: Path) -> None:
    for file in real.files(real_traces):
        job = real.analyzed(file)
        view = view_of(job, 5)
        names = [name for kind in job.window.kinds or () for name in kind.steps]
        assert sorted(names) == sorted(job.window.steps) or not names
        assert sum(part.time_ns for part in view.parts) == view.window_ns
        assert sum(part.time_ns for part in view.idle) == view.parts[-1].time_ns
        assert ("steps_differ" in codes(job)) == (view.of_whole == "of step")
        if job.window.step_count is None:
            assert "per step" not in verdict_sentence(job)


LOADER = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"


def loading_in_every_third(folder: Path) -> Job:
    """Six steps of 1.4 ms, of which every third loads for 20 ms before."""
    loop = Loop()
    for number in range(6):
        loop.step(*FORWARD, before=20_000 if number % 3 == 2 else 0, doing=LOADER if number % 3 == 2 else "")
    return loop.told(folder)


def test_what_only_some_steps_do_is_suggested_per_step_of_their_kind(tmp_path: Path) -> None:
    job = loading_in_every_third(tmp_path)
    assert members(job) == [[5, 6, 8, 9], [7, 10]]
    (loading,) = (each for each in job.suggestions or () if each.rule == "data_loading")
    assert loading.saving_of == "step_of_kind" and loading.step_kind == OfKind("B", 2, 6)
    assert loading.saving_per_step_ns and loading.saving_per_step_ns.high == pytest.approx(20e6, rel=0.01)
    assert any("a step of kind B (2 of 6 steps), ProfilerStep#7:" in caveat for caveat in loading.caveats)
    text = " ".join(render(job, "txt").split())
    assert "20 ms per step of kind B, 2 of 6 steps" in text
    found = next(check for check in job.checks if check.rule == "data_loading")
    assert found.outcome == "found"


def test_what_steps_of_two_kinds_do_is_one_suggestion_that_says_both(tmp_path: Path) -> None:
    loop = Loop()
    for number in range(6):
        loop.step(*FORWARD, before=20_000 if number % 3 == 2 else 300, doing=LOADER)
    job = loop.told(tmp_path)
    (loading,) = (each for each in job.suggestions or () if each.rule == "data_loading")
    assert loading.saving_of == "shown_step" and loading.step_kind == OfKind("A", 4, 6)
    assert any(
        "per step of kind B, 2 of 6 steps, it saves at most 20.0 ms" in text for text in loading.caveats
    )
