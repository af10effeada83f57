"""Gaps that launches explain, gaps that they do not, and steps that graphs launch already."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tests.fusion.rules.waits import BUSY, Deed, doing, launched
from tests.fusion.scenes import claims, found_by
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Recording
from traceanalyzer.records.units import percent

GAP = 20_000
MANY = [GAP] * 100


def test_short_gaps_are_saved_in_part() -> None:
    graph = launched([GAP] * 100, steps=3)
    (match,) = found_by(graph, "launch_bound")
    waited = graph.idle_ns("launch_gap") / 3
    assert waited == pytest.approx(100 * GAP, rel=0.02)
    assert match.tier == "T0" and not match.nodes and match.saved is not None
    assert match.saved.low == pytest.approx(0.4 * waited)
    assert match.saved.high == pytest.approx(0.95 * waited)
    assert "per step" in match.evidence and " % of the window" in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("graph", [
    launched([2_100] * 100, steps=3),                           # a host that is hardly late
    launched([30_000_000], steps=3),                            # it does something else than launching
    launched(MANY, steps=3, launch="cudaGraphLaunch"),          # graphs already
    launched(MANY, steps=3, launch="hipGraphLaunch"),
], ids=["busy", "long", "graphs", "graphs_of_amd"])  # fmt: skip
def test_what_graphs_do_not_help(graph: StepGraph) -> None:
    shares = graph.idle_ns("launch_gap") / graph.window_ns
    assert "launch_bound" not in claims(graph), f"{shares} of the window"


@pytest.mark.left_out
@pytest.mark.parametrize("call, under, named", [
    ("cudaStreamSynchronize", ("aten::item", "aten::_local_scalar_dense"), "1 aten::item"),
    ("hipDeviceSynchronize", (), "1 hipDeviceSynchronize"),
])  # fmt: skip
def test_no_graph_captures_a_wait_inside_the_step(call: str, under: tuple[str, ...], named: str) -> None:
    graph = launched(MANY, steps=3, waiting=call, under=under, behind=50)
    (match,) = found_by(graph, "launch_bound")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0 < match.saved.mid
    assert f"the host waits inside the step, which no graph can capture: {named}" in match.evidence
    assert match.action.startswith("Capture the step in a graph: ")
    assert match.action.endswith(f"first keep results on the device, without {named[2:]}.")


def test_a_wait_behind_all_that_is_launched_hinders_no_graph() -> None:
    graph = launched(MANY, steps=3, waiting="cudaDeviceSynchronize", behind=len(MANY) - 1)
    assert [match.tier for match in found_by(graph, "launch_bound")] == ["T0"]


@pytest.mark.left_out
@pytest.mark.parametrize("sizes, tier", [
    ((8, 9, 10), "T3"), ((8, 9), "T3"),
    ((8, 8, 8), "T0"), ((8, 8, 9), "T0"),  # one odd step in three: the others are captured
])  # fmt: skip
def test_a_graph_holds_for_one_set_of_shapes(sizes: tuple[int, ...], tier: str) -> None:
    (match,) = found_by(launched(MANY, steps=len(sizes), sizes=sizes), "launch_bound")
    assert match.tier == tier
    assert ("shapes change from step to step" in match.evidence) is (tier == "T3")
    assert match.action.endswith(": first give every step the same shapes.") is (tier == "T3")


@pytest.mark.left_out
def test_of_one_step_nothing_is_proved() -> None:
    """The next may have other shapes, for which the graph does not hold."""
    (match,) = found_by(launched(MANY, steps=1), "launch_bound")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0 < match.saved.high
    assert "one step does not say whether the next has the same shapes" in match.evidence


@pytest.mark.left_out
def test_long_gaps_count_neither_as_launches_nor_as_time_to_save() -> None:
    graph = launched([*MANY, 400_000_000])
    (match,) = found_by(graph, "launch_bound")
    assert match.saved is not None and match.saved.high == pytest.approx(0.95 * 100 * GAP, rel=0.02)
    assert percent(match.saved.high / 0.95 / graph.window_ns) in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("ahead, told", [(0.5, True), (1.5, False)])
def test_a_host_that_is_ahead_when_a_step_begins_is_no_host_that_launches_late(
    ahead: float, told: bool
) -> None:
    graph = launched(MANY, steps=3)
    lead = round(ahead * len(MANY) * GAP)
    steps = tuple(msgspec.structs.replace(step, host_lead_ns=lead) for step in graph.judged.steps)
    graph = replace(graph, judged=replace(graph.judged, steps=steps))
    assert ("launch_bound" in claims(graph)) is told


def test_without_the_profiler_the_gaps_are_shorter() -> None:
    unprofiled = 100 * BUSY + 300_000
    graph = launched(MANY, recording=Recording(unprofiled_step_ns=unprofiled, profiled_step_ns=2_500_000))
    (match,) = found_by(graph, "launch_bound")
    assert match.saved is not None and match.saved.high == pytest.approx(0.95 * 300_000)


@pytest.mark.left_out
def test_a_start_up_without_steps_says_nothing_of_a_step() -> None:
    gaps = [900_000] * 10
    assert "launch_bound" in claims(launched(gaps))
    assert "launch_bound" not in claims(launched(gaps, steps=0))


def test_without_steps_nothing_is_promised() -> None:
    (match,) = found_by(launched(MANY, steps=0), "launch_bound")
    assert match.saved is None


@pytest.mark.parametrize("graph, words", [
    (launched([2_100] * 100, steps=3), "a graph of the step is suggested from 30 % on"),
    (launched(MANY, steps=3, launch="cudaGraphLaunch"), "graphs launch most of the kernels already"),
    (launched([200] * 100, steps=3), None),                     # nothing that a reader sees
    (launched([30_000_000], steps=3), None),                    # no launch gap
])  # fmt: skip
def test_gaps_that_a_reader_sees_are_explained_where_they_are_left_out(
    graph: StepGraph, words: str | None
) -> None:
    assert "launch_bound" not in claims(graph)
    check = next(each for each in suggestions(graph).checks if each.rule == "launch_bound")
    assert check.outcome == "not_found"
    if words is None:
        assert check.reason is None
    else:
        assert check.reason is not None and words in check.reason
        assert check.reason.startswith("launch gaps are ")


@pytest.mark.left_out
@pytest.mark.parametrize("loading, tier", [(0, "T0"), (10_000, "T0"), (12_000_000, "T3")])
def test_nothing_is_proved_of_a_step_that_waits_longer_for_data(loading: int, tier: str) -> None:
    """Two gaps of 10 µs a step, each before a kernel of 5."""
    name = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
    deeds: list[Deed] = [("annotation", name, loading)] if loading else []
    (match,) = found_by(doing(deeds, deeds, deeds), "launch_bound")
    assert match.tier == tier and match.saved is not None and (match.saved.low > 0) is (tier == "T0")
    assert ("waits longer for data" in match.evidence) is (tier == "T3")
