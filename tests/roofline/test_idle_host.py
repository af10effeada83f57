"""Idle time by cause where it is known what the host did: a simulated host, and times worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fusion.host import Host, Loop, recorded
from traceanalyzer import analyze

STEPS = 3
HOOK = "autograd::engine::evaluate_function: torch::autograd::AccumulateGrad"
ENGINE, PINNING = 2, 3  # threads

# Each loop's docstring is the cause and the name of the largest part of its idle time; IDLE_US is that part,
# of a step. A kernel of 250 us hides the 10 us of the next launch. Rounding and latency take a few us a gap.


def hook_in_the_backward_pass(host: Host, number: int, mended: bool) -> None:
    """host_work: autograd::engine::evaluate_function: torch::autograd::AccumulateGrad"""
    host.kernels(20, 250)
    host.kernels(20, 250, thread=ENGINE)
    host.item()
    host.trace.op(HOOK, host.now, 30_000, tid=ENGINE)
    host.works(30_000)
    host.kernels(1, 250, thread=ENGINE)


def short_hooks_in_the_backward_pass(host: Host, number: int, mended: bool) -> None:
    """host_work: autograd::engine::evaluate_function: torch::autograd::AccumulateGrad"""
    host.kernels(20, 50)
    for _ in range(40):
        host.kernels(1, 50, thread=ENGINE)
        host.trace.op(HOOK, host.now, 600, tid=ENGINE)
        host.works(600)
    host.kernels(1, 50, thread=ENGINE)


def hidden_hooks_in_the_backward_pass(host: Host, number: int, mended: bool) -> None:
    """launch_gap:"""
    for _ in range(40):
        host.kernels(1, 650, thread=ENGINE)
        host.trace.op(HOOK, host.now, 600, tid=ENGINE)
        host.works(600)
    host.item()
    host.kernels(100, 5, every=20, thread=ENGINE)


def short_operators_of_the_host(host: Host, number: int, mended: bool) -> None:
    """host_work: aten::sort"""
    for _ in range(50):
        host.kernels(1, 40)
        host.dispatches("aten::sort", 700)
    host.kernels(1, 40)


def function_inside_an_annotation(host: Host, number: int, mended: bool) -> None:
    """host_work: batch.py(8): pad"""
    for _ in range(20):
        host.kernels(1, 40)
        with host.named("prepare"):
            host.works(800, "batch.py(8): pad", "<built-in method full>")
    host.kernels(1, 40)


def short_annotation_amid_dispatch(host: Host, number: int, mended: bool) -> None:
    """launch_gap:"""
    for _ in range(50):
        with host.named("layer"):
            host.kernels(1, 5)
            with host.named("scale"):
                host.works(200)


def python_between_launches(host: Host, number: int, mended: bool) -> None:
    """launch_gap:"""
    for _ in range(50):
        host.kernels(1, 5)
        host.works(180)


def two_threads_that_launch_in_turn(host: Host, number: int, mended: bool) -> None:
    """launch_gap:"""
    for turn in range(60):
        host.kernels(1, 5, every=25, thread=1 + turn % 2)


def a_thread_that_pins_memory(host: Host, number: int, mended: bool) -> None:
    """launch_gap:"""
    begin = host.now
    host.kernels(200, 5, every=25)
    host.trace.launch(begin, api="cudaHostAlloc", dur=host.now - begin, tid=PINNING)
    host.trace.annotation("enumerate(DataLoader)#_Iter.__next__", begin, host.now - begin, tid=PINNING)


IDLE_US = {
    hook_in_the_backward_pass: 30_000 - 3,
    short_hooks_in_the_backward_pass: 40 * (600 - 50) - 20 * (50 - 10),  # what the device was behind by
    hidden_hooks_in_the_backward_pass: 100 * 15,
    short_operators_of_the_host: 50 * (698 - 37),
    function_inside_an_annotation: 20 * (800 - 40),
    short_annotation_amid_dispatch: 50 * 208,
    python_between_launches: 50 * 185,
    two_threads_that_launch_in_turn: 60 * 20,
    a_thread_that_pins_memory: 200 * 20,
}


@pytest.mark.parametrize("loop", IDLE_US, ids=lambda loop: loop.__name__)
def test_the_largest_cause_is_what_the_host_did(loop: Loop, tmp_path: Path) -> None:
    cause, name = (part.strip() for part in (loop.__doc__ or "").split(":", 1))
    time = analyze(recorded(loop, STEPS, tmp_path / "trace.json")).time
    largest = max(time.idle_by_cause, key=lambda part: part.time_ns)
    assert largest.cause == cause
    assert largest.time_ns / STEPS / 1000 == pytest.approx(IDLE_US[loop], rel=0.03)
    assert [each.name for each in largest.names] == ([name] if name else [])
    assert largest.time_ns > 0.95 * time.idle_ns, "and nearly all of it"
