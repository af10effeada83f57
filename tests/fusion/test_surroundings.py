"""What compiling saves on a CPU around the operators that it replaces, and what several regions share."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import Item, annotation, backward, forward, handed, op, scene, within
from traceanalyzer.fusion.cost_to_try import compiled_nodes
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
    return with_surroundings(graph, band, graph.nodes, "block", together or Compiled())


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


WHOLE = "model = torch.compile(model)"
BLOCK = (op("exp", X, ns=5 * MS), ASKED, MM, ASKED, op("log", X, ns=5 * MS))  # 4 ms between its operators
WAITING = op("is_same_size", ns=200 * MS)


def loader(*items: Item) -> Item:
    return annotation("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", *items)


def called(name: str, *items: Item) -> Item:
    return annotation(f"nn.Module: {name}", *within(name, *items))


FETCHED = (loader(op("stack", (X,), ns=MS), WAITING, op("cat", (X,), ns=MS)), loader(WAITING))


@pytest.mark.parametrize("items", [
    [*FETCHED, called("Net", *BLOCK), *FETCHED, called("Net", *BLOCK)],
    [*FETCHED, *BLOCK, *FETCHED, *BLOCK],  # nothing says where a module is called
    [called("Net", *BLOCK), WAITING, op("neg", X, ns=MS), WAITING, called("Net", *BLOCK)],
], ids=["annotated", "unnamed", "python"])  # fmt: skip
def test_what_the_host_does_between_calls_of_the_model_is_not_compiled(items: list[Item]) -> None:
    """Twice 4 ms between its operators; 200 ms and more in a loader, or in the script, between calls."""
    graph = scene(*items, steps=2, on_cpu=True)
    compiled = compiled_nodes(graph, (), "", WHOLE)
    assert {"stack", "cat"}.isdisjoint(node.name for node in compiled)
    told = with_surroundings(graph, NOTHING, compiled, "", Compiled())
    assert told == Band(0.0, pytest.approx(0.4 * 8 * MS, rel=0.01), pytest.approx(0.9 * 8 * MS, rel=0.01))


def test_what_lies_between_calls_of_a_module_is_not_compiled_with_it() -> None:
    """The cell is compiled and not the model that calls it."""
    cells = called("Net", called("cell", *BLOCK), WAITING, called("cell", *BLOCK))
    graph = scene(cells, steps=2, on_cpu=True)
    ends = {
        path: with_surroundings(graph, NOTHING, graph.nodes, path, Compiled()).mid for path in ("cell", "")
    }
    assert ends["cell"] == pytest.approx(0.4 * 8 * MS, rel=0.01)
    assert ends[""] == pytest.approx(0.4 * 208 * MS, rel=0.01), "compiled code of the model is one call"


def test_a_backward_pass_is_compiled_with_its_module() -> None:
    inner = called("Net", forward(op("exp", X, ns=5 * MS), 1), ASKED, forward(op("log", X, ns=5 * MS), 2))
    passes = (
        backward("LogBackward0", op("div", X, X, ns=5 * MS), sequence=2), ASKED,
        backward("ExpBackward0", op("mul", X, X, ns=5 * MS), sequence=1), ASKED,
        backward("AccumulateGrad", op("detach", X, ns=5 * MS)),
    )  # fmt: skip
    graph = scene(inner, *passes, steps=2, on_cpu=True)
    told = with_surroundings(graph, NOTHING, graph.nodes, "", Compiled())
    assert told.mid == pytest.approx(0.4 * 4 * MS, rel=0.01), "2 ms in each pass; gradients are added outside"


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
    ends = [
        with_surroundings(graph, NOTHING, graph.nodes[:2], "block", Compiled()) for graph in (kept, inside)
    ]
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


def test_each_call_of_a_module_is_entered() -> None:
    cell = called("cell", *CHAIN, MM)
    assert entered(called("Net", cell, cell, cell)) == [(1, 0)] * 3
    apart = (called(name, *CHAIN, MM) for name in ("one", "two", "three"))
    assert entered(called("Net", *apart)) == [(1, 0)] * 3, "as three modules"
    assert entered(called("Net", called("block", *CHAIN, MM, *CHAIN, MM))) == [(1, 0), (0, 1)], "as one call"


def test_a_region_over_two_calls_of_a_module_enters_both() -> None:
    """What one cell hands to the next is in one kernel at best where the model is compiled, not the cell."""
    cell = called("cell", *CHAIN)
    assert entered(called("Net", cell, MM, cell, cell)) == [(1, 0), (2, 0)]


def test_each_call_of_a_module_is_entered_in_its_backward_pass_too() -> None:
    numbers = {1: (1, 2, 3), 2: (4, 5, 6)}
    calls = [
        called("cell", *(forward(item, at) for item, at in zip(CHAIN, each, strict=True)), MM)
        for each in numbers.values()
    ]
    gradients = [
        item
        for each in reversed(numbers.values())
        for item in (
            *(backward(f"{name}Backward0", op("mul", X, X, ns=5 * MS), sequence=at)
              for name, at in zip(("Relu", "Log", "Exp"), reversed(each), strict=True)),
            backward("MmBackward0", MM),
        )
    ]  # fmt: skip
    assert entered(called("Net", *calls), *gradients) == [(1, 0)] * 4
