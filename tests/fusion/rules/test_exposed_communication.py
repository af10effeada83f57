"""Collectives that nothing hides, on verdicts written by hand."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tests.fusion.scenes import op, scene
from traceanalyzer.fusion.rules import rule_named
from traceanalyzer.fusion.step_graph import Free

RULE = rule_named("exposed_communication")
assert RULE is not None
FIND = RULE.find


@pytest.mark.left_out
@pytest.mark.parametrize(
    "share, seen", [(0.5, True), (0.11, True), (0.09, False), (0.0, False), (1.0, False)]
)
def test_what_runs_alone_is_the_most_that_is_saved(share: float, seen: bool) -> None:
    graph = scene(op("exp", (4096, 4096)), steps=2)
    alone = int(share * graph.busy_ns)
    row = msgspec.structs.replace(graph.rows[0], verdict="communication", attributed_ns=alone)
    matches = list(FIND(replace(graph, judged=replace(graph.judged, rows=(row,))), Free()))
    assert bool(matches) is seen
    for match in matches:
        assert match.saved is not None and (match.saved.low, match.saved.high) == (0, alone / 2)
        assert match.tier == "T3" and not match.nodes
        assert "per step, " in match.evidence and "% of busy time" in match.evidence
