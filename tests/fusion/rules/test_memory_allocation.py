"""Memory that the driver gives and takes inside steps, and memory that a first step needs once."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import doing
from tests.fusion.scenes import claims, found_by

MS = 1_000_000
FREE, MALLOC = ("call", "cudaFree", 3 * MS), ("call", "cudaMalloc", 2 * MS)


def test_the_wait_is_the_most_that_is_saved_and_calls_are_counted() -> None:
    graph = doing([FREE, MALLOC], [FREE, MALLOC], [FREE, MALLOC])
    (match,) = found_by(graph, "memory_allocation")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == graph.idle_ns("memory_allocation") / 3 == 5 * MS
    assert match.evidence.endswith("in the window: 3 cudaFree, 3 cudaMalloc")


def test_of_the_first_step_no_more_is_counted_than_of_another() -> None:
    (match,) = found_by(doing([MALLOC] * 9, [], [], [MALLOC]), "memory_allocation")
    assert match.saved is not None and match.saved.high == 2 * 2 * MS / 4


@pytest.mark.left_out
@pytest.mark.parametrize("steps, named, high", [
    ([[MALLOC], [], []], True, None),   # a first step that fills the allocator's cache
    ([[MALLOC]], True, None),           # perhaps such a step
    ([[MALLOC], []], False, None),      # likewise
    ([[FREE, MALLOC]], True, 5 * MS),   # nothing is given back to start with
])  # fmt: skip
def test_what_comes_once_is_not_promised(steps: list[list[tuple[str, str, int]]], named: bool,
                                         high: int | None) -> None:  # fmt: skip
    (match,) = found_by(doing(*steps, named=named), "memory_allocation")
    assert (match.saved.high if match.saved else None) == high


@pytest.mark.left_out
def test_a_short_wait_is_no_finding() -> None:
    short = [("call", "cudaMalloc", 5_000)]
    assert "memory_allocation" not in claims(doing(short, short, busy=MS))
