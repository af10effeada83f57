"""System time for new pages: whose it is, and what is saved in a process that keeps them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import CPU, op, scene, within
from traceanalyzer.fusion.pages import MAPPED, is_mapped, paging_ns, perhaps_kept_ns
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Peak, Recording, Suggestion

MS, SMALL, LARGE = 1_000_000, (2048, 2048), (4096, 4096)  # 16 and 64 MiB
SLOW_CPU = replace(CPU, peaks=(Peak("vector", "fp32", 50e9),))


def paging(faults: int, *shapes: tuple[int, int], threads: int = 1) -> StepGraph:
    """10 ms in the system per step, and operators that take much longer."""
    told = Recording(system_ns_per_step=10 * MS, minor_faults_per_step=faults, page_bytes=4096)
    known = replace(told, threads=threads)
    items = [op("exp", shape, ns=100 * MS) for shape in shapes]
    return scene(*items, op("add_", LARGE, LARGE), steps=2, on_cpu=True, recording=known)


def test_glibc_maps_blocks_of_32_mib_whenever_they_are_asked_for() -> None:
    assert is_mapped(32 * 1024 * 1024) and not is_mapped(MAPPED - 1)


def test_all_of_the_systems_time_is_somebodys() -> None:
    """By what is written anew: three blocks alike, and nothing in place."""
    graph = paging(100_000, SMALL, SMALL, SMALL)
    assert perhaps_kept_ns(graph, graph.nodes) == pytest.approx(10 * MS)
    assert perhaps_kept_ns(graph, graph.nodes[:1]) == pytest.approx(10 * MS / 3)
    assert paging_ns(graph, graph.nodes) == pytest.approx(10 * MS)


def test_faults_are_of_blocks_that_are_mapped_before_others() -> None:
    """64 MiB are 16,384 pages; of 4,096 faults more, 16 MiB have as many."""
    only, both = paging(16_384, LARGE, SMALL), paging(16_384 + 4096, LARGE, SMALL)
    assert perhaps_kept_ns(only, only.nodes) == 0
    assert paging_ns(only, only.nodes[:1]) == pytest.approx(10 * MS)
    assert perhaps_kept_ns(both, both.nodes) == pytest.approx(10 * MS / 5)


def test_threads_fault_at_once_for_their_part() -> None:
    graph = paging(100_000, SMALL, threads=4)
    assert paging_ns(graph, graph.nodes) == pytest.approx(10 * MS / 2)
    assert perhaps_kept_ns(graph, graph.nodes) == pytest.approx(10 * MS), "at most one after another"


def test_nothing_is_known_where_it_was_not_counted() -> None:
    graph = scene(op("exp", SMALL, ns=100 * MS), steps=2, on_cpu=True)
    assert perhaps_kept_ns(graph, graph.nodes) == paging_ns(graph, graph.nodes) == 0


def chain(shape: tuple[int, int], ns: int, recording: Recording | None) -> Suggestion:
    """Three operators whose arithmetic takes 23 ms of this CPU for 16 MiB, at worst."""
    items = within(
        "block", *(op(name, shape, ns=ns) for name in ("exp", "log", "relu")), op("mm", shape, shape)
    )
    graph = scene(*items, steps=2, freed=True, on_cpu=True, device=SLOW_CPU, recording=recording)
    (told,) = [each for each in suggestions(graph).found or () if each.rule == "pointwise_chain"]
    return told


@pytest.mark.parametrize(("shape", "ns", "sure"), [(SMALL, 20 * MS, False), (LARGE, 80 * MS, True)])
def test_what_a_process_that_keeps_its_pages_saves_not_is_not_proved(
    shape: tuple[int, int], ns: int, sure: bool
) -> None:
    """With 0.7 of their time in the system; larger blocks are mapped anew in each process."""
    known = chain(shape, ns, None).saving_per_step_ns
    paged = chain(shape, ns, Recording(system_ns_per_step=4 * ns, minor_faults_per_step=10**6))
    band = paged.saving_per_step_ns
    assert known is not None and known.low > 0
    assert band is not None and (band.low > 0) == sure and band.high >= known.mid
    assert any("new pages" in text for text in paged.caveats) == (not sure)
