"""Waits as users have reported them, rebuilt: what is advised, what is promised, and what is left alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fusion.host import Host, Loop, recorded
from tests.fusion.test_waits import LOADER, MS, promised
from traceanalyzer import analyze
from traceanalyzer.records import Analysis, IdleCause, Suggestion
from traceanalyzer.report import render
from traceanalyzer.report.sentence import verdict_sentence


def optimizer_on_cpu(host: Host, number: int, mended: bool) -> None:
    """100 ms of the device; the gradients go to the host, whose optimizer takes 410 ms."""
    host.kernels(50, 2000)
    host.copies("host", 4000, 33_000_000)
    with host.named("Optimizer.step#DeepSpeedCPUAdam.step"):
        host.works(410_000)
    host.copies("device", 300, 16_000_000)


def no_warm_up(host: Host, number: int, mended: bool) -> None:
    """One step, which loads modules and creates streams before it works."""
    host.calls("cudaStreamCreateWithFlags", 410_000)
    host.calls("cuModuleLoadData", 380_000)
    host.kernels(100, 3500)


def buffer_requests(host: Host, number: int, mended: bool) -> None:
    """2 ms of the device, and the profiler asks for room for its records eight times."""
    for _ in range(8):
        host.kernels(5, 50)
        host.item()
        host.trace.overhead("Activity Buffer Request", host.now, 2110)
        host.works(2110)


def checkpoint_in_one_step(host: Host, number: int, mended: bool) -> None:
    """Steps of 74 ms; the third one copies 800 MB to the host and writes them for 820 ms."""
    host.kernels(37, 2000)
    host.item()
    if number == 2:
        for _ in range(6):
            host.copies("host", 43_300, 134_217_728)
        host.works(820_000)


def launch_bound(host: Host, number: int, mended: bool) -> None:
    """600 kernels of 2 us, launched in 10 ms."""
    host.kernels(600, 2, every=16)
    host.calls("cudaDeviceSynchronize", 10)


def loads_before_its_first_kernel(host: Host, number: int, mended: bool) -> None:
    """80 ms of loading, 20 ms of the device."""
    with host.named(LOADER.format("_MultiProcessing")):
        host.works(80_000)
    host.kernels(10, 2000)
    host.item()


def report(loop: Loop, steps: int, folder: Path) -> Analysis:
    return analyze(recorded(loop, steps, folder / "trace.json"))


def idle(analysis: Analysis, cause: IdleCause) -> int:
    return next(part.time_ns for part in analysis.time.idle_by_cause if part.cause == cause)


def only(analysis: Analysis) -> tuple[Suggestion, float]:
    """The one suggestion that promises anything, and how many ms per step at most."""
    ((told, high),) = promised(analysis)
    return told, high / MS


def test_an_optimizer_on_the_cpu_is_named_and_no_launching(tmp_path: Path) -> None:
    analysis = report(optimizer_on_cpu, 3, tmp_path)
    told, high = only(analysis)
    assert told.rule == "host_work" and told.where == "Optimizer.step#DeepSpeedCPUAdam.step"
    assert told.action.startswith("Run the optimizer on the device")
    assert high == pytest.approx(410, rel=0.01)
    assert idle(analysis, "launch_gap") / 3 < 0.1 * MS


def test_a_start_up_is_nothing_to_speed_up(tmp_path: Path) -> None:
    analysis = report(no_warm_up, 1, tmp_path)
    assert idle(analysis, "first_use") == pytest.approx(790 * MS, rel=0.01)
    assert not promised(analysis) and "launch_bound" not in {s.rule for s in analysis.suggestions or ()}


def test_nobody_is_promised_the_profilers_own_time(tmp_path: Path) -> None:
    analysis = report(buffer_requests, 4, tmp_path)
    assert idle(analysis, "profiler") / 4 == pytest.approx(8 * 2.11 * MS, rel=0.01)
    assert sum(high for _, high in promised(analysis)) < 0.3 * MS


def test_one_step_that_saves_a_checkpoint_is_told_by_name(tmp_path: Path) -> None:
    analysis = report(checkpoint_in_one_step, 4, tmp_path)
    told, high = only(analysis)
    assert told.rule == "checkpoint_saving" and told.where == "ProfilerStep#2"
    assert high == pytest.approx(820 / 4, rel=0.01)
    assert told.saving_of == "mean_step" and "205 ms per step, averaged over 4 steps" in told.evidence
    average = "205 ms per step, averaged over all 4 steps"
    assert f"One change could save up to {average}, or nothing." in verdict_sentence(analysis)
    texts = [" ".join(render(analysis, name).split('id="data"')[0].split()) for name in ("txt", "md", "html")]
    assert f"in ProfilerStep#2: at most {average} (checkpoint_saving)" in texts[0]
    assert all(f"at most {average}" in text and "205 ms of ProfilerStep" not in text for text in texts)


def saves_in_a_function_of_its_loop(host: Host, number: int, mended: bool) -> None:
    """The function that the trace names for the wait is the loop's; the one inside it writes the file."""
    host.kernels(20, 1000)
    host.item()
    if number == 1:
        host.copies("host", 9_000, 60_000_000)
        host.works(200_000, "train.py(12): loop", "torch/serialization.py(900): save")


def test_a_checkpoint_is_known_by_what_is_inside_a_named_function(tmp_path: Path) -> None:
    told, high = only(report(saves_in_a_function_of_its_loop, 4, tmp_path))
    assert told.rule == "checkpoint_saving" and high == pytest.approx(200 / 4, rel=0.02)
    assert "copies 60.0 MB to the host" in told.evidence


def loads_slowly_and_allocates(host: Host, number: int, mended: bool) -> None:
    """One step of five loads for 30 ms longer; one asks the driver for memory, as if it had to each time."""
    with host.named(LOADER.format("_MultiProcessing")):
        host.works(30_000 if number == 1 else 4_000)
    host.item()
    if number in (2, 4):
        host.calls("cudaMalloc", 7_000)
        host.calls("cudaFree", 3_000)
    host.kernels(40, 250)
    host.item()


def test_what_is_of_one_step_is_never_added_to_a_mean(tmp_path: Path) -> None:
    analysis = report(loads_slowly_and_allocates, 5, tmp_path)
    told = {each.rule: (each, high / MS) for each, high in promised(analysis)}
    loading, of_step = told["data_loading"]
    allocating, of_mean = told["memory_allocation"]
    assert loading.saving_of == "shown_step" and of_step == pytest.approx(4.0, rel=0.02)
    assert loading.evidence.startswith("the device waits 4.0") and "averaged" not in loading.evidence
    assert "of the step" in loading.evidence
    assert allocating.saving_of == "mean_step" and of_mean == pytest.approx(2 * 10 / 5, rel=0.02)
    assert "averaged over 5 steps that differ" in allocating.evidence
    sentence = verdict_sentence(analysis)
    assert "8.0 ms" not in sentence
    assert re.search(r"save up to 4.0 ms of ProfilerStep#\d, or nothing\.", sentence)
    assert "save up to 4.0 ms per step, averaged over all 5 steps, or nothing." in sentence


def test_what_is_truly_bound_by_launches_is_captured_in_a_graph(tmp_path: Path) -> None:
    analysis = report(launch_bound, 3, tmp_path)
    told, high = only(analysis)
    assert told.rule == "launch_bound" and told.tier == "T0"
    assert told.action.startswith("Capture the step in a graph")
    assert 7.5 < high <= idle(analysis, "launch_gap") / 3 / MS


@pytest.mark.parametrize("steps", [1, 3])
def test_loading_before_the_first_kernel_is_the_first_thing_to_change(steps: int, tmp_path: Path) -> None:
    analysis = report(loads_before_its_first_kernel, steps, tmp_path)
    told, high = only(analysis)
    assert told.rule == "data_loading" and "more workers" in told.action
    assert high == pytest.approx(80, rel=0.01)
    assert analysis.window.window_ns / steps == pytest.approx(100.2 * MS, rel=0.01)
