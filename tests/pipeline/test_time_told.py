"""The first sentences name what took the time: waits with their cause, start-up, the profiler's own work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pipeline.loops import COPY_OUT, Loop, Work, act, mm
from traceanalyzer.records import Job
from traceanalyzer.report import render
from traceanalyzer.report.notebook import notebook
from traceanalyzer.report.sentence import headline, verdict_sentence

FORWARD = (mm(4096, 4096, 4096, 600), act("aten::gelu", (4096, 4096), 200), mm(4096, 4096, 4096, 600))
LOADER = "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__"


def notice(job: Job, code: str) -> str:
    return next((told.message for told in job.source.warnings if told.code == code), "")


def waiting(folder: Path, doing: str, before: float, steps: int = 3) -> Job:
    """Steps of 1.4 ms that begin with a wait for something on the host."""
    loop = Loop()
    for _ in range(steps):
        loop.step(*FORWARD, before=before, doing=doing)
    return loop.told(folder)


def test_an_optimizer_on_the_host_is_named_in_the_first_line(tmp_path: Path) -> None:
    job = waiting(tmp_path, "Optimizer.step#DeepSpeedCPUAdam.step", 8600)
    lead = headline(job).lead
    assert re.fullmatch(
        r"The GPU waits 8\.6 ms of each 10(\.0)? ms step for host work: "
        r"Optimizer\.step#DeepSpeedCPUAdam\.step\.",
        lead,
    ), lead


@pytest.mark.parametrize("steps", [1, 3])
def test_loading_before_the_first_kernel_is_idle_time_of_the_step(tmp_path: Path, steps: int) -> None:
    job = waiting(tmp_path, LOADER, 80_000, steps)
    assert job.window.window_ns == pytest.approx(steps * 81_400_000, rel=0.01)
    which = "each" if steps > 1 else "the"
    assert headline(job).lead == f"The GPU waits 80 ms of {which} 81 ms step for data loading."


def test_two_causes_are_told_with_all_of_the_idle_time(tmp_path: Path) -> None:
    loop = Loop()
    for _ in range(3):
        loop.trace.annotation("validate", loop.now + 2001, 3990)
        loop.trace.annotation(LOADER, loop.now + 1, 2000)
        loop.step(*FORWARD, before=6000)
    told = headline(loop.told(tmp_path))
    assert told.lead == "The GPU waits 4.0 ms of each 7.4 ms step for host work: validate."
    assert told.more[0] == "The GPU is idle 6.0 ms, 81 % of the window, and busy 1.4 ms."


def test_what_is_known_of_a_wait_is_told_although_most_of_it_is_not(tmp_path: Path) -> None:
    loop = Loop()
    for _ in range(3):
        loop.trace.annotation(LOADER, loop.now + 1, 2000)
        loop.step(*FORWARD, before=6000)
    assert headline(loop.told(tmp_path)).lead == (
        "The GPU is idle 81 % of the window: 6.0 ms of each 7.4 ms step, 2.0 ms of it for data loading, and "
        "for most of the rest the trace shows no cause."
    )


def test_idle_time_that_is_not_the_largest_part_does_not_lead(tmp_path: Path) -> None:
    job = waiting(tmp_path, LOADER, 500)
    assert "waits" not in headline(job).lead
    assert re.search(r"^idle +data loading 49\d µs", render(job, "txt"), re.MULTILINE)


def start_up(folder: Path, *, steps: bool, took: float = 790_000) -> Job:
    """The first kernel waits until its code is loaded."""
    loop = Loop(names=steps)
    loop.trace.launch(loop.now + 100, api="cudaStreamCreateWithFlags", dur=took / 2)
    loop.trace.launch(loop.now + 100 + took / 2, api="cuModuleLoadData", dur=took / 2)
    memset = loop.trace.launch(loop.now, api="cudaMemsetAsync")
    loop.trace.kernel("Memset (Device)", loop.now + 3, 2, memset, cat="gpu_memset")
    loop.step(*FORWARD, before=took + 100)
    for _ in range(2):
        loop.step(*FORWARD)
    return loop.told(folder)


def test_start_up_is_called_that(tmp_path: Path) -> None:
    job = start_up(tmp_path, steps=False)
    assert "record with a schedule, with wait and warmup steps" in notice(job, "startup_recorded")
    told = headline(job)
    assert told.lead.startswith("The GPU waits 790 ms of the trace's 794 ms for start-up: cu")
    assert told.more[0] == "Start-up is paid once: record with a schedule, with wait and warmup steps."
    assert "idle" not in verdict_sentence(job)


def test_start_up_in_the_first_step_does_not_reach_the_others(tmp_path: Path) -> None:
    job = start_up(tmp_path, steps=True)
    assert notice(job, "startup_recorded")
    told = headline(job)
    assert "of the 1.4 ms step ProfilerStep#6" in told.lead
    assert re.match(
        r"The longest, ProfilerStep#5, takes 79\d ms: 790 ms more waiting for start-up", told.more[0]
    )


@pytest.mark.parametrize("starts, said", [
    ((4_000, 0, 0), "4.0 ms of ProfilerStep#5 goes to start-up (cuModuleLoadData), paid once"),
    ((0, 4_000, 0), "4.0 ms of ProfilerStep#6 goes to start-up (cuModuleLoadData), paid once"),
    ((5_000, 4_000, 6_000), "15 ms of all 3 steps goes to start-up (cuModuleLoadData), paid once"),
    ((4_000,), "4.0 ms of the 64 ms step goes to start-up (cuModuleLoadData), paid once"),
])  # fmt: skip
def test_start_up_is_of_the_step_that_pays_it_and_no_mean(
    tmp_path: Path, starts: tuple[int, ...], said: str
) -> None:
    """Steps of 60 ms that are alike; before some of them code is loaded for 4 to 6 ms."""
    loop = Loop()
    for took in starts:
        if took:
            loop.trace.launch(loop.now, api="cuModuleLoadData", dur=took)
        loop.step(mm(4096, 4096, 4096, 60_000), before=took)
    job = loop.told(tmp_path)
    assert "steps_differ" not in [notice.code for notice in job.source.warnings]
    assert said in verdict_sentence(job)


def test_a_short_first_use_is_no_notice(tmp_path: Path) -> None:
    job = start_up(tmp_path, steps=False, took=30)
    assert not notice(job, "startup_recorded")


def profiled(folder: Path) -> Job:
    """Each step of 2 ms asks for a buffer of the profiler's, which takes 16 ms."""
    loop = Loop()
    for _ in range(4):
        begin = loop.now
        loop.step(*FORWARD, before=16_000)
        loop.trace.events.append({
            "ph": "X", "cat": "overhead", "name": "Activity Buffer Request", "pid": -1, "tid": 0,
            "ts": begin + 1, "dur": 15_998, "args": {},
        })  # fmt: skip
    return loop.told(folder)


def test_the_profilers_own_work_is_taken_off_the_step(tmp_path: Path) -> None:
    job = profiled(tmp_path)
    assert job.window.window_ns == pytest.approx(4 * 17_400_000, rel=0.01)
    told = headline(job)
    assert "of each 1.4 ms step" in told.lead
    assert told.more[0] == (
        "The step takes about 1.4 ms without the profiler's own 16.0 ms, which tables include."
    )
    assert "17 ms" not in verdict_sentence(job)


@pytest.mark.parametrize("name", ["txt", "md", "html", "notebook"])
def test_tables_say_that_they_include_the_profilers_own_work(tmp_path: Path, name: str) -> None:
    def shown(job: Job) -> str:
        return notebook(job) if name == "notebook" else render(job, name).split('id="data"')[0]

    assert "profiler included" in shown(profiled(tmp_path))
    loop = Loop()
    for _ in range(4):
        loop.step(*FORWARD)
    assert "profiler included" not in shown(loop.told(tmp_path))


def test_a_share_says_that_the_profilers_own_work_is_taken_off(tmp_path: Path) -> None:
    """Per step 1.4 ms of work, 4 ms of the profiler's, 2 ms of loading and 1 ms of reading."""
    loop = Loop()
    for _ in range(3):
        begin = loop.now
        loop.trace.annotation(LOADER, begin + 4_000, 1_998)
        loop.trace.annotation("read_input", begin + 6_000, 1_100)
        loop.step(*FORWARD, before=7_200)
        loop.trace.events.append({
            "ph": "X", "cat": "overhead", "name": "Activity Buffer Request", "pid": -1, "tid": 0,
            "ts": begin + 1, "dur": 3_998, "args": {},
        })  # fmt: skip
    told = headline(loop.told(tmp_path))
    assert told.lead.startswith(
        "The GPU waits 2.0 ms of each 4.6 ms step for data loading; 1.2 ms is compute"
    )
    idle = "The GPU is idle 3.2 ms, 70 % of the window without the profiler's own work, and busy 1.4 ms."
    assert idle in told.more


def test_a_share_of_the_step_that_is_shown_is_called_one_of_the_step(tmp_path: Path) -> None:
    loop = Loop()
    for before in (3_000, 3_000, 30_000):
        loop.trace.annotation(LOADER, loop.now + 1, before / 2)
        loop.step(*FORWARD, before=before)
    told = headline(loop.told(tmp_path))
    assert "of the 4.4 ms step ProfilerStep#" in told.lead
    assert "% of the step" in " ".join(told.more) and "window" not in " ".join(told.more)


def test_kernels_that_were_dropped_leave_no_average_behind(tmp_path: Path) -> None:
    """Five step markers, of which two lost their kernels: the step is that of the other three."""
    loop = Loop()
    for _ in range(5):
        loop.step(*FORWARD)
    third = sorted(e["ts"] for e in loop.trace.events if e["name"].startswith("ProfilerStep"))[2]
    loop.trace.events = [e for e in loop.trace.events if e["cat"] != "kernel" or e["ts"] >= third]
    job = loop.told(tmp_path)
    assert job.window.step_count == 3
    assert "of each 1.4 ms step" in verdict_sentence(job)


WORDS = re.compile(r"\b(?:per|a|an|each|every|one) step\b", re.IGNORECASE)


@pytest.mark.parametrize("name", ["txt", "md", "html", "notebook"])
@pytest.mark.parametrize("before", [0, 9000])
def test_a_trace_without_steps_is_told_without_that_word(tmp_path: Path, name: str, before: float) -> None:
    loop = Loop(names=False)
    for _ in range(3):
        loop.step(*FORWARD, Work("", COPY_OUT, 300), before=before, doing="save" if before else "")
    job = loop.told(tmp_path, "NVIDIA H200")
    assert job.suggestions, "a trace that says nothing proves nothing"
    text = notebook(job) if name == "notebook" else render(job, name).split('id="data"')[0]
    assert not WORDS.findall(text)
    assert not WORDS.findall(" ".join(w.message for w in job.source.warnings))
    for told in job.suggestions:
        assert not WORDS.findall(" ".join((told.evidence, *told.caveats))), told


def test_a_trace_without_steps_is_told_of_its_waits_and_of_its_kernels(tmp_path: Path) -> None:
    loop = Loop(names=False)
    for _ in range(3):
        loop.step(*FORWARD, before=9000, doing="evaluate")
    told = headline(loop.told(tmp_path))
    assert re.fullmatch(r"The GPU waits 1\d ms of the trace's \d+ ms for host work: evaluate\.", told.lead), (
        told.lead
    )
    assert "is memory-bound" in " ".join(told.more)
