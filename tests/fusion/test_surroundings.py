"""What compiling saves on a CPU around the operators that it replaces, and what several regions share."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import Item, handed, op, scene, within
from traceanalyzer.fusion.module_compile import compiled_together
from traceanalyzer.fusion.pages import paging_ns
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.fusion.trial import Compiled, with_surroundings
from traceanalyzer.records import Band, Recording

MS, X = 1_000_000, (2048, 2048)
NOTHING, PROVED = Band(0.0, 0.0, 0.0), Band(4e6, 6e6, 8e6)
ASKED = op("is_same_size", ns=2 * MS)  # dispatch, which does no work
MM = op("mm", X, X, ns=20 * MS)


def spaced(recording: Recording | None = None, *, on_cpu: bool = True) -> StepGraph:
    """Three operators, 2 ms of the host between each and the next."""
    items = within("block", op("exp", X, ns=5 * MS), ASKED, MM, ASKED, op("log", X, ns=5 * MS))
    return scene(*items, steps=2, on_cpu=on_cpu, recording=recording)


def around(graph: StepGraph, band: Band = NOTHING, together: Compiled | None = None) -> Band:
    return with_surroundings(graph, band, graph.nodes, together or Compiled())


def test_what_lies_between_compiled_operators_may_go() -> None:
    graph = spaced()
    ops, rows = graph.trace.ops, [node.row for node in graph.nodes]
    gaps = sum(
        ops.start_ns[after] - ops.end_ns[before] for before, after in zip(rows, rows[1:], strict=False)
    )
    assert gaps == pytest.approx(4 * MS, rel=0.01)
    assert around(graph) == Band(0.0, pytest.approx(0.4 * gaps), pytest.approx(0.9 * gaps))
    assert around(spaced(on_cpu=False)) == NOTHING, "a device does not wait for it"


def test_the_profilers_part_of_it_is_there_no_more() -> None:
    """What it added, by all that no operator covers."""
    free = spaced()
    uncovered = round(free.step_ns) - sum(node.time_ns for node in free.nodes)
    whole, half = (
        around(spaced(Recording(unprofiled_step_ns=100 * MS, profiled_step_ns=100 * MS + slowed))).high
        for slowed in (uncovered, uncovered // 2)
    )
    assert whole == pytest.approx(0, abs=1) and half == pytest.approx(around(free).high / 2, rel=1e-3)


def test_several_that_compile_the_same_share_it() -> None:
    graph = spaced()
    both = Compiled.by([(graph.nodes, ()), (graph.nodes, ())])
    assert 2 * around(graph, together=both).high == pytest.approx(around(graph).high)


def test_what_is_proved_stays_as_narrow_as_a_proof() -> None:
    told = around(spaced(), PROVED)
    assert told.low == PROVED.low and told.mid == pytest.approx(PROVED.mid + 1.6e6, rel=0.01)
    assert told.high == 2.5 * told.low


def passed_on(*, phase_ends: bool = False, freed: bool = True) -> StepGraph:
    """A product whose result two others read, the last of them outside where its pass ends."""
    told = Recording(system_ns_per_step=9 * MS, minor_faults_per_step=10**6)
    last = op("mm", X, X, ns=20 * MS)
    items = [*within("block", MM, MM), *within("block" if not phase_ends else "head", last)]
    graph = handed(scene(*items, steps=2, on_cpu=True, recording=told), (0, 1), (0, 2))
    return replace(graph, freed_in_step=frozenset({0} if freed else ()))


def test_pages_of_what_a_compiled_pass_makes_and_frees_may_go() -> None:
    graph = passed_on()
    pages = paging_ns(graph, graph.nodes[:1])
    assert pages == pytest.approx(3 * MS), "one of three blocks alike"
    gaps = around(passed_on(freed=False)).high
    assert around(graph).high == pytest.approx(gaps + 0.9 * pages)
    replaced = Compiled.by([(graph.nodes, graph.nodes[:1])])
    assert around(graph, together=replaced).high == pytest.approx(gaps), "its own time counts them already"


def test_what_is_read_outside_of_the_pass_keeps_its_pages() -> None:
    kept, inside = passed_on(phase_ends=True), passed_on(phase_ends=True, freed=False)
    ends = [with_surroundings(graph, NOTHING, graph.nodes[:2], Compiled()) for graph in (kept, inside)]
    assert ends[0] == ends[1]


CHAIN = [op(name, X, ns=5 * MS) for name in ("exp", "log", "relu")]


def entered(*items: Item) -> list[tuple[int, int]]:
    """Of each region how many calls of its own it is, and how many inside of another."""
    graph = scene(*items, steps=2, on_cpu=True, freed=True)
    matches = [match for _, found in compiled_together(graph, list(applied(graph))) for match in found]
    return [(match.after.launches, match.after.inner) for match in matches if match.after]


def test_regions_of_one_pass_of_a_module_are_kernels_of_one_call() -> None:
    assert entered(*within("block", *CHAIN, MM, *CHAIN, MM, *CHAIN, MM)) == [(1, 0), (0, 1), (0, 1)]


def test_modules_that_are_compiled_apart_are_entered_each() -> None:
    assert entered(*within("one", *CHAIN, MM), *within("other", *CHAIN, MM)) == [(1, 0), (1, 0)]
