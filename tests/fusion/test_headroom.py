"""How short a step could become, by hand, and what was looked for."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tests.fusion.rules.waits import BUSY, launched
from tests.fusion.scenes import found_by
from tests.fusion.test_rules import judged
from tests.trace.build import Rows
from traceanalyzer.fusion.checks import NO_OPERATORS, unchecked
from traceanalyzer.fusion.headroom import headroom
from traceanalyzer.fusion.host_pace import host_pace
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Band, IdlePart, Recording, RuleCheck, Suggestion
from traceanalyzer.records.pace import paced_ns
from traceanalyzer.records.suggestion import SavingOf

GAP = 20_000
GRAPH = launched([GAP] * 100, steps=3)
WAITED = GRAPH.idle_ns("launch_gap") / 3


def saving(rule: str, low: float, mid: float, high: float, of: SavingOf = "each_step") -> Suggestion:
    return Suggestion(
        rule=rule, title="", tier="T1", action="", snippet="", where="", count=1, evidence="",
        bytes_saved_per_step=None, saving_per_step_ns=Band(low, mid, high), share_of_step=None, caveats=(),
        docs="", saving_of=of,
    )  # fmt: skip


def room(*found: Suggestion, graph=GRAPH):
    return headroom(graph.judged, graph, [(each, ()) for each in found])


def ends(band: Band) -> list[int]:
    return [round(band.low), round(band.mid), round(band.high)]


def test_idle_time_that_is_proved_to_be_saved_comes_off():
    now = round(GRAPH.window_ns / 3)
    found = room(saving("launch_bound", 800_000, 1_400_000, 1_900_000))
    assert found.now_ns == now
    assert ends(found.proved_ns) == [now - 1_900_000, now - 1_400_000, now - 800_000]
    assert found.all_ns == found.proved_ns
    # Nothing is known of the roofs of these kernels: they count as they are.
    assert found.at_roofs_ns <= found.not_bounded_ns == pytest.approx(100 * BUSY, rel=0.02)


def test_what_may_save_nothing_is_not_proved():
    found = room(saving("launch_bound", 0, 1_400_000, 1_900_000))
    assert set(ends(found.proved_ns)) == {found.now_ns}
    assert ends(found.all_ns) == [found.now_ns - 1_900_000, found.now_ns - 1_400_000, found.now_ns]


def test_faster_kernels_do_not_shorten_a_step_that_waits_for_the_host():
    assert 0.3 * GRAPH.window_ns / 3 < WAITED
    kernels = saving("pointwise_chain", 10_000, 20_000, 30_000)
    alone = room(kernels)
    assert set(ends(alone.all_ns)) == set(ends(alone.proved_ns)) == {alone.now_ns}
    # Half of the gaps gone, half of what the kernels save counts.
    both = room(kernels, saving("launch_bound", WAITED / 2, WAITED / 2, WAITED / 2))
    half = round(both.now_ns - WAITED / 2)
    assert ends(both.proved_ns) == pytest.approx([half] * 3, abs=1)
    assert ends(both.all_ns) == pytest.approx([half - 15_000, half - 10_000, half - 5_000], abs=1)


def test_a_step_whose_host_waits_for_its_kernels_is_shorter_by_what_they_save():
    """100 kernels a step, each of which the host waits for to its end but for the last one's."""
    rows, now = Rows(), 10_000
    for step in range(3):
        begin = now
        for number in range(100):
            now += GAP
            rows.op("aten::relu", now - 10, now)
            rows.launch(2 * number + 200 * step + 1, now - 5, end=now)
            rows.kernel("kernel", now, now + BUSY, 2 * number + 200 * step + 1)
            if number < 99:
                rows.launch(2 * number + 200 * step + 2, now, name="cudaStreamSynchronize", end=now + BUSY)
            now += BUSY
        rows.annotation(f"ProfilerStep#{step}", begin, now)
    graph = judged(rows.trace())
    few = room(saving("pointwise_chain", 10_000, 20_000, 30_000), graph=graph)
    assert ends(few.proved_ns) == [few.now_ns - 30_000, few.now_ns - 20_000, few.now_ns - 10_000]
    more = room(saving("pointwise_chain", 99.5 * BUSY, 99.5 * BUSY, 100 * BUSY), graph=graph)
    assert ends(more.proved_ns) == pytest.approx([more.now_ns - 99 * BUSY] * 3, abs=1)


def test_faster_kernels_shorten_a_step_that_does_not_wait():
    graph = launched([2_100] * 100, steps=3)
    found = room(saving("pointwise_chain", 10_000, 20_000, 30_000), graph=graph)
    assert ends(found.proved_ns) == [found.now_ns - 30_000, found.now_ns - 20_000, found.now_ns - 10_000]


def test_savings_of_other_steps_do_not_count():
    found = room(saving("host_work", 1e5, 2e5, 3e5, of="mean_step"))
    assert set(ends(found.all_ns)) == {found.now_ns}


def test_no_step_takes_less_than_nothing():
    found = room(saving("launch_bound", 1e9, 2e9, 3e9))
    assert ends(found.proved_ns) == [0, 0, 0]
    assert found.at_roofs_ns == 0


def test_rows_count_at_their_roofs_and_no_lower_than_they_are():
    judged = GRAPH.judged
    rows = tuple(msgspec.structs.replace(row, efficiency=0.25) for row in judged.rows)
    busy = judged.time.busy_ns / 3
    found = headroom(replace(judged, rows=rows))
    assert (found.at_roofs_ns, found.not_bounded_ns) == (int(busy / 4), 0)
    above = tuple(msgspec.structs.replace(row, efficiency=1.5) for row in judged.rows)
    assert headroom(replace(judged, rows=above)).at_roofs_ns == int(busy)


def outcome(graph, rule: str) -> RuleCheck:
    found = suggestions(graph)
    assert [check.rule for check in found.checks] == [each.name for each in RULES]
    return next(check for check in found.checks if check.rule == rule)


def test_a_rule_is_found_or_not_or_says_what_it_lacks():
    assert outcome(GRAPH, "launch_bound") == RuleCheck("launch_bound", "found")
    assert outcome(GRAPH, "synchronisation") == RuleCheck("synchronisation", "not_found")
    lacking = outcome(GRAPH, "zero_grad")
    assert lacking.outcome == "not_checkable" and "no backward pass" in (lacking.reason or "")
    without_steps = outcome(launched([GAP] * 100, steps=0), "quantized_weights")
    assert without_steps == RuleCheck("quantized_weights", "not_checkable", "the trace names no steps")


def test_without_operators_nothing_is_checkable():
    found = unchecked(NO_OPERATORS)
    assert len(found) == len(RULES)
    assert {(check.outcome, check.reason) for check in found} == {("not_checkable", NO_OPERATORS)}


@pytest.mark.parametrize(
    ("profiled", "lead", "tier"), [(2_500_000, 0, "T0"), (3_500_000, 0, "T3"), (2_500_000, 700_000, "T3")]
)
def test_launch_gaps_that_the_profiler_or_the_start_may_have_made_are_no_proof(profiled, lead, tier):
    recording = Recording(unprofiled_step_ns=2_450_000, profiled_step_ns=profiled)
    graph = launched([GAP] * 100, steps=3, recording=recording)
    steps = tuple(msgspec.structs.replace(step, host_lead_ns=lead) for step in graph.judged.steps)
    (match,) = found_by(replace(graph, judged=replace(graph.judged, steps=steps)), "launch_bound")
    assert match.saved is not None
    assert (match.tier, match.saved.low > 0) == (tier, tier == "T0")
    assert ("ahead of the device" in match.evidence) == (lead > 0)
    assert ("without the profiler" in match.evidence) == (profiled > 3_000_000)


def test_communication_has_no_roof_that_cuts_it_off():
    """All of busy time has no roof; of half of it a collective may be hidden, and no more than that."""
    graph = launched([2_100] * 100, steps=3)
    half = graph.busy_ns / 3 / 2
    hidden = room(saving("exposed_communication", 0, half, half), graph=graph)
    assert hidden.all_ns.low == pytest.approx(hidden.now_ns - half, abs=1)
    assert hidden.at_roofs_ns <= hidden.all_ns.low
    both = room(
        saving("exposed_communication", 0, half, half), saving("pointwise_chain", 0, 0, 9e9), graph=graph
    )
    assert both.all_ns.low == pytest.approx(graph.busy_ns / 3 - half, abs=1), (
        "what is left is work without a roof"
    )


@pytest.mark.parametrize("cause", ["launch_gap", "data_loading", "host_work", "compilation"])
@pytest.mark.parametrize(
    ("device", "share", "paces"), [("gpu", 0.31, True), ("gpu", 0.29, False), ("cpu", 0.9, False)]
)
def test_a_host_that_is_busy_sets_the_pace_of_a_gpu(cause, device, share, paces):
    idle = [IdlePart("unknown", 600), IdlePart(cause, round(1000 * share))]
    assert bool(paced_ns(device, idle, 1000)) is paces
    parts = [IdlePart("synchronisation", 900), IdlePart("first_use", 900), IdlePart("profiler", 900)]
    assert not paced_ns(device, parts, 1000), "a host that waits, starts up or records sets none"


def test_of_what_kernels_save_a_host_lets_through_what_it_waits_for_and_what_its_waits_lose():
    """It launches one kernel after another, and waits for none."""
    assert not host_pace(launched([2_100] * 100, steps=3)).paced_ns
    pace = host_pace(GRAPH)
    assert pace.paced_ns == pytest.approx(WAITED, rel=0.01) and pace.saved(1e6, 0.0) == pace.awaited_ns == 0
    assert pace.saved(1e6, pace.paced_ns / 4) == pytest.approx(0.25e6)
