"""Collectives that nothing hides, on verdicts written by hand."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tests.fusion.test_rules import EXP, step
from traceanalyzer.fusion.rules import RULES

RULE = next(rule for rule in RULES if rule.name == "exposed_communication")


@pytest.mark.parametrize(
    "share, seen", [(0.5, True), (0.11, True), (0.09, False), (0.0, False), (1.0, False)]
)
def test_what_runs_alone_is_the_most_that_there_is_to_win(share: float, seen: bool) -> None:
    given = step(EXP)
    alone = int(share * given.busy_ns)
    row = msgspec.structs.replace(given.rows[0], verdict="communication", attributed_ns=alone)
    told = replace(given, judged=replace(given.judged, rows=(row,)))
    found = list(RULE.find(told, lambda node: True))
    assert bool(found) is seen
    for match in found:
        assert match.saved is not None and (match.saved.low, match.saved.high) == (0, alone)
        assert match.tier == "T3" and not match.nodes
