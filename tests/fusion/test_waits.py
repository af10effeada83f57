"""Why a device waits, simulated: the first suggestion is the remedy, and none promises more than it brings.

Each loop's docstring is its true remedy: the rule, words that its suggestion has to hold, and why. AVOIDABLE
is what that shortens a step by, worked out by hand and held against the same loop with the remedy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fusion.host import ACQUIRE, Host, Loop, avoidable_ns, recorded
from traceanalyzer import analyze
from traceanalyzer.records import Analysis, Suggestion

STEPS = 4
MS = 1_000_000
MODEL = (40, 250.0)  # kernels, us each: 10 ms of the device, launched in 0.4 ms of the host
LOADER = "enumerate(DataLoader)#_{}DataLoaderIter.__next__"


def scheduler_between_decode_steps(host: Host, number: int, mended: bool) -> None:
    """host_work: scheduler.py: schedule the next step while the device works on this one."""
    host.replays(20, 250)
    if mended:
        host.works(4000)
    host.item()
    if not mended:
        host.works(4000, "scheduler.py(88): schedule")


def evaluation_in_between(host: Host, number: int, mended: bool) -> None:
    """host_work: evaluate: evaluate less often, or elsewhere."""
    host.kernels(*MODEL)
    host.item()
    if number == 2 and not mended:
        with host.named("evaluate"):
            for _ in range(20):
                host.works(3000)
                host.kernels(1, 40)


def logging_that_synchronises(host: Host, number: int, mended: bool) -> None:
    """synchronisation: aten::item: keep the values on the device."""
    for _ in range(10):
        host.kernels(4, 250)
        if not mended:
            host.item()
        host.works(150)


def slow_callback(host: Host, number: int, mended: bool) -> None:
    """host_work: on_step_end: every so many steps, or on another thread."""
    host.kernels(*MODEL)
    if not mended:
        with host.named("Callback.on_step_end"):
            host.works(15_000)


def tokenizing_between_launches(host: Host, number: int, mended: bool) -> None:
    """host_work: tokenize: each time for less than a millisecond, and nothing is launched meanwhile."""
    for _ in range(30):
        host.kernels(1, 60)
        if not mended:
            with host.named("tokenize"):
                host.works(936)


def parsing_between_launches(host: Host, number: int, mended: bool) -> None:
    """host_work: requests.py(12): parse: a Python function, that a recording with stacks shows."""
    for _ in range(60):
        host.kernels(2, 20)
        if not mended:
            host.works(420, "requests.py(12): parse")


def callback_half_behind_the_device(host: Host, number: int, mended: bool) -> None:
    """host_work: after_batch: 5 ms of the host, of which the device hides all but 0.9 ms."""
    for _ in range(10):
        host.kernels(1, 4100)
        if not mended:
            with host.named("after_batch"):
                host.works(4980)


def operators_without_kernels(host: Host, number: int, mended: bool) -> None:
    """launch_bound: Capture the step in a graph: many small operators stand before each launch."""
    if mended:
        host.replays(30, 5)
        return
    for _ in range(30):
        with host.named("attention_inputs"):
            for _ in range(40):
                host.dispatches("aten::view", 15)
            host.kernels(1, 5)


def lock_of_another_thread(host: Host, number: int, mended: bool) -> None:
    """host_work: compress_gradients: what holds the lock."""
    host.kernels(*MODEL)
    if not mended:
        host.beside("compress_gradients", 25_000)
        host.works(25_000, "train.py(31): next_state", ACQUIRE)


def allocator_thrash(host: Host, number: int, mended: bool) -> None:
    """memory_allocation: cudaFree: let segments grow."""
    host.kernels(*MODEL)
    if not mended:
        host.item()  # a free waits for the device
        for _ in range(3):
            host.calls("cudaFree", 1500)
            host.calls("cudaMalloc", 900)


def compiling_in_each_step(host: Host, number: int, mended: bool) -> None:
    """recompilation: mark_dynamic: mark what changes as dynamic."""
    if not mended:
        with host.named("_compile.compile_inner (dynamo_timed)"):
            host.works(50_000)
    host.kernels(*MODEL)


def garbage_collection_without_rows(host: Host, number: int, mended: bool) -> None:
    """nothing: the trace does not show it."""
    host.kernels(*MODEL)
    if number == 1 and not mended:
        host.works(120_000)


def garbage_collection_in_the_forward_pass(host: Host, number: int, mended: bool) -> None:
    """nothing: a name that covers the pass does not say what held it up."""
    with host.named("forward"):
        host.kernels(20, 250)
        if number == 1 and not mended:
            host.works(120_000)
    with host.named("backward"):
        host.kernels(20, 250)


def checkpoint(host: Host, number: int, mended: bool) -> None:
    """checkpoint_saving: async_save: write while training goes on."""
    host.kernels(*MODEL)
    if number == 2:
        for _ in range(4):
            host.copies("host", 15_000, 60_000_000)
        host.works(0 if mended else 300_000)


def tiny_pageable_copies(host: Host, number: int, mended: bool) -> None:
    """small_copies: into one tensor: one copy of all."""
    for _ in range(1 if mended else 200):
        host.copies("device", 1.5, 512, host=20)
    host.kernels(*MODEL)


def optimizer_on_the_cpu(host: Host, number: int, mended: bool) -> None:
    """host_work: on the device: move the optimizer's step there."""
    host.kernels(*MODEL)
    host.copies("host", 900, 8_000_000)
    if not mended:
        with host.named("Optimizer.step#CPUAdam.step"):
            host.works(40_000)


def loader_without_workers(host: Host, number: int, mended: bool) -> None:
    """data_loading: Give the DataLoader workers: they load while the device works"""
    if not mended:
        with host.named(LOADER.format("_SingleProcess")):
            host.works(30_000, "dataset.py(9): __getitem__")
    host.kernels(*MODEL)


def loader_with_workers(host: Host, number: int, mended: bool) -> None:
    """data_loading: more workers: they load while the device works"""
    if not mended:
        with host.named(LOADER.format("_MultiProcessing")):
            host.works(30_000)
    host.kernels(*MODEL)


def launches(host: Host, number: int, mended: bool) -> None:
    """launch_bound: Capture the step in a graph: all at once."""
    if mended:
        host.replays(400, 5)
    else:
        host.kernels(400, 5, every=20)


def compiled_graph_with_stacks(host: Host, number: int, mended: bool) -> None:
    """launch_bound: Capture the step in a graph: it runs in the compiler's file."""
    begin = host.now
    launches(host, number, mended)
    if not mended:
        host.trace.python("torch/_inductor/codecache.py(374): __call__", begin, host.now - begin)


def launches_beside_a_wait(host: Host, number: int, mended: bool) -> None:
    """launch_bound: Capture the step in a graph: one thread waits, and another one launches meanwhile."""
    host.kernels(1, 5)
    begin = host.now
    if mended:
        host.replays(400, 5)
    else:
        host.kernels(400, 5, every=25, thread=2)
    host.trace.launch(begin, api="cudaEventSynchronize", dur=host.now - begin)


def large_pageable_batch(host: Host, number: int, mended: bool) -> None:
    """unpinned_memory: Pin the batches: copy while the device works."""
    if not mended:
        host.copies("device", 2000, 12_000_000, host=15_000)
    host.kernels(*MODEL)


def profiler_at_work(host: Host, number: int, mended: bool) -> None:
    """nothing: a run without the profiler has none of it."""
    host.kernels(20, 250)
    if not mended:
        host.item()
        host.trace.overhead("Activity Buffer Request", host.now, 8000)
        host.works(8000)
    host.kernels(20, 250)


def first_use(host: Host, number: int, mended: bool) -> None:
    """nothing: it comes once a process."""
    if number == 0 and not mended:
        host.calls("cuModuleLoadData", 200_000)
        host.calls("cudaStreamCreateWithFlags", 100_000)
    host.kernels(*MODEL)


def compiling_in_the_first_step(host: Host, number: int, mended: bool) -> None:
    """nothing: it comes once a process."""
    if number == 0:
        with host.named("_compile.compile_inner (dynamo_timed)"):
            host.works(500_000)
    host.kernels(*MODEL)


def allocations_of_the_first_step(host: Host, number: int, mended: bool) -> None:
    """nothing: later steps use the memory again."""
    for _ in range(20):
        host.kernels(1, 250)
        if number == 0:
            host.calls("cudaMalloc", 900)
    host.kernels(20, 250)


def graphs_with_python_in_between(host: Host, number: int, mended: bool) -> None:
    """nothing: graphs are there already, and the trace does not show what takes the rest."""
    for _ in range(4):
        host.replays(20, 10)
        host.works(0 if mended else 900)


def busy_device(host: Host, number: int, mended: bool) -> None:
    """nothing: the device never waits."""
    host.kernels(*MODEL)


def launches_and_waits(host: Host, number: int, mended: bool) -> None:
    """launch_bound: first keep results on the device: a graph, which nothing may wait in."""
    if mended:
        host.replays(400, 5)
        return
    for _ in range(4):
        host.kernels(100, 5, every=20)
        host.item()


AVOIDABLE = {  # ms per step, of four
    scheduler_between_decode_steps: 4.0,
    evaluation_in_between: 20 * 3.01 / 4,
    logging_that_synchronises: 10 * 0.163,    # 150 us, until the wait has ended, and a launch
    slow_callback: 15.4 - 10,
    tokenizing_between_launches: 30 * (0.948 - 0.06),
    parsing_between_launches: 60 * 0.44 - 2.4,
    callback_half_behind_the_device: 10 * (4.992 - 4.1),
    operators_without_kernels: 30 * (0.612 - 0.005),
    lock_of_another_thread: 25.4 - 10,
    allocator_thrash: 3 * 2.4,
    compiling_in_each_step: 50.4 - 3 / 4 * 10 - 0.1,  # the last step's kernels run behind it either way
    garbage_collection_without_rows: (120.8 - 20) / 4,
    garbage_collection_in_the_forward_pass: (120.8 - 15) / 4,
    checkpoint: 300 / 4,
    tiny_pageable_copies: 199 * 0.021,
    optimizer_on_the_cpu: 40.0,
    loader_without_workers: 30.4 - 3 / 4 * 10 - 0.1,
    loader_with_workers: 30.4 - 3 / 4 * 10 - 0.1,
    launches: 400 * 0.015,
    compiled_graph_with_stacks: 400 * 0.015,
    launches_beside_a_wait: 400 * 0.02,
    launches_and_waits: 400 * 0.015 + 4 * 0.01,
    large_pageable_batch: 15.4 - 3 / 4 * 10 - 0.1,
    profiler_at_work: 8.0,
    first_use: 300 / 4,
    compiling_in_the_first_step: 0.0,
    allocations_of_the_first_step: 0.0,
    graphs_with_python_in_between: 4 * (0.93 - 0.2),
    busy_device: 0.0,
}  # fmt: skip
LOOPS = list(AVOIDABLE)


def promised(analysis: Analysis) -> list[tuple[Suggestion, float]]:
    """Suggestions that promise more than nothing, the first one first, and at most how many ns per step."""
    bands = [(each, each.saving_per_step_ns) for each in analysis.suggestions or ()]
    return [(each, band.high) for each, band in bands if band is not None and band.high > 0]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_the_remedy_brings_what_is_written_down(loop: Loop) -> None:
    assert avoidable_ns(loop, STEPS) / MS == pytest.approx(AVOIDABLE[loop], rel=0.02, abs=0.05)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_the_first_suggestion_is_the_remedy_and_promises_no_more_than_it_brings(
    loop: Loop, tmp_path: Path
) -> None:
    rule, word, *_ = (part.strip() for part in (loop.__doc__ or "").split(":"))
    analysis = analyze(recorded(loop, STEPS, tmp_path / "trace.json"))
    told = promised(analysis)
    assert [each.rule for each, _ in told] == ([] if rule == "nothing" else [rule])
    assert sum(high for _, high in told) <= 1.001 * avoidable_ns(loop, STEPS)
    for each, high in told:
        assert word in f"{each.action} {each.snippet} {each.evidence}"
        assert high >= 0.4 * avoidable_ns(loop, STEPS), "it is no small part of it either"
