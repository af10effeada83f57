"""Steps that compile again, and a first step that compiles once."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import doing
from tests.fusion.scenes import claims, found_by

MS = 1_000_000
COMPILE = ("annotation", "_compile.compile_inner (dynamo_timed)", 40 * MS)


def test_the_wait_is_the_most_that_is_saved() -> None:
    graph = doing([COMPILE], [], [COMPILE])
    (match,) = found_by(graph, "recompilation")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == graph.idle_ns("compilation") / 3 == pytest.approx(80 * MS / 3)
    assert match.evidence.endswith("; 2 of 3 steps compile")


@pytest.mark.left_out
@pytest.mark.parametrize(
    "steps, named", [([[COMPILE], [], []], True), ([[COMPILE]], True), ([[COMPILE], [COMPILE]], False)]
)
def test_what_is_compiled_once_is_left_out_of_a_later_recording(
    steps: list[list[tuple[str, str, int]]], named: bool
) -> None:
    (match,) = found_by(doing(*steps, named=named), "recompilation")
    assert match.saved is None and match.action.startswith("Record later")


@pytest.mark.left_out
def test_a_short_wait_is_no_finding() -> None:
    short = [("annotation", "x (dynamo_timed)", 5_000)]
    assert "recompilation" not in claims(doing(short, short, busy=MS))
