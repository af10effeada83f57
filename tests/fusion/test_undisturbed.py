"""What a step took longer under the profiler is taken off the operators that write to memory of their own."""

from __future__ import annotations

import msgspec
import pytest
import torch
from msgspec.structs import replace

from tests.fusion.live import recorded
from traceanalyzer.fusion.step_graph import StepGraph


def slowed(graph: StepGraph, by_ns: int) -> StepGraph:
    recording = graph.recording
    assert recording is not None
    told = msgspec.structs.replace(recording, unprofiled_step_ns=10**9, profiled_step_ns=10**9 + by_ns)
    priced = replace(graph.judged.priced, trace=replace(graph.trace, recording=told))
    return replace(graph, judged=replace(graph.judged, priced=priced))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> StepGraph:
    x, y = torch.rand(1 << 20), torch.rand(1 << 20)

    def step() -> object:
        total = x + y
        total.mul_(0.5)
        return total * y

    return recorded(step, tmp_path_factory.mktemp("slowed"))


def test_as_much_is_taken_off_as_the_step_took_longer(graph: StepGraph) -> None:
    before = sum(node.time_ns for node in graph.nodes)
    by = min(node.time_ns for node in graph.nodes) // 10  # less than any of them has to lose
    assert slowed(graph, by).undisturbed_ns(graph.nodes) == pytest.approx(before - by, abs=2)


def test_what_works_in_place_gets_no_new_memory(graph: StepGraph) -> None:
    inside = [node for node in graph.nodes if node.call.name == "aten::mul_"]
    assert len(inside) == 1
    assert slowed(graph, 10**6).undisturbed_ns(inside) == inside[0].time_ns


def test_a_step_that_was_not_slower_stays_as_it_is(graph: StepGraph) -> None:
    for by in (0, -(10**6)):
        assert slowed(graph, by).undisturbed_ns(graph.nodes) == sum(node.time_ns for node in graph.nodes)


def test_no_more_is_taken_off_by_bytes_than_the_system_took_longer(graph: StepGraph) -> None:
    """What else the profiler adds, it adds to each record."""
    before = sum(node.time_ns for node in graph.nodes)
    by = min(node.time_ns for node in graph.nodes) // 10
    slow = slowed(graph, 2 * by)
    assert slow.recording is not None
    for more in (0, by):
        told = replace(slow.recording, system_ns_per_step=10**6, profiled_system_ns=10**6 + more)
        priced = replace(slow.judged.priced, trace=replace(slow.trace, recording=told))
        known = replace(slow, judged=replace(slow.judged, priced=priced))
        assert known.undisturbed_ns(graph.nodes) == pytest.approx(before - more, abs=2)


def test_a_slower_machine_never_takes_all(graph: StepGraph) -> None:
    left = slowed(graph, 10**12).undisturbed_ns(graph.nodes)
    assert left >= 0.3 * sum(node.time_ns for node in graph.nodes)


def test_what_the_profiler_may_have_slowed_record_by_record_is_not_sure(graph: StepGraph) -> None:
    inside = [node for node in graph.nodes if node.call.name == "aten::mul_"]
    little, much = slowed(graph, 10**8), slowed(graph, 10**9)
    assert little.slowed_times == pytest.approx(1.1) and little.perhaps_slowed_ns(inside) == 0
    assert much.perhaps_slowed_ns(inside) == pytest.approx(
        0.7 * inside[0].time_ns
    )  # that it is left with 0.3


def test_a_device_waits_no_longer_than_the_step_without_the_profiler_lets_it(graph: StepGraph) -> None:
    assert slowed(graph, 10**8).most_idle_ns == float("inf")
    assert slowed(graph, 10**9).most_idle_ns == 10**9 - graph.busy_ns
