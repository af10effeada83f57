"""Tiny tensors that are copied one by one, and copies that no other one would take along."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import BUSY, Deed, doing
from tests.fusion.scenes import claims, found_by

PAGEABLE = "Memcpy HtoD (Pageable -> Device)"
COUNT, EACH = 50, 20_000
COPY: Deed = ("copy", PAGEABLE, EACH)


def test_the_time_between_them_is_the_most_that_is_saved() -> None:
    graph = doing([COPY] * COUNT, [COPY] * COUNT, copied=64)
    (match,) = found_by(graph, "small_copies")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == (COUNT - 1) * (EACH - 100), "but for the first one, and the copies themselves"
    assert match.evidence.endswith("; 50 copies per step of 64.0 B on average")


def test_nothing_is_promised_twice() -> None:
    graph = doing([COPY] * COUNT, [COPY] * COUNT, copied=64, busy=1_000_000)
    assert not claims(graph).keys() & {"unpinned_memory", "launch_bound", "synchronisation"}


@pytest.mark.left_out
@pytest.mark.parametrize("copies, size, busy", [
    ([COPY] * 7, 64, BUSY),                                          # few
    ([COPY] * COUNT, 100_000, BUSY),                                 # pinning helps
    ([("copy", "Memcpy HtoD (Pinned -> Device)", EACH)] * COUNT, 64, BUSY),
    ([COPY] * 10, 64, 50_000_000),                                   # hardly a wait
], ids=["few", "large", "pinned", "short"])  # fmt: skip
def test_other_copies_are_left_out(copies: list[Deed], size: int, busy: int) -> None:
    assert "small_copies" not in claims(doing(copies, copies, copied=size, busy=busy))
