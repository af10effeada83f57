"""Waits of the host for the device, and who asked for them."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import held_up
from tests.fusion.scenes import claims, found_by

WAIT = 500_000


@pytest.mark.parametrize("call, under, named", [
    ("cudaStreamSynchronize", ("aten::item", "aten::_local_scalar_dense"), "1 aten::item"),
    ("hipStreamSynchronize", ("aten::index", "aten::nonzero"), "1 aten::index"),
    ("cudaDeviceSynchronize", (), "1 cudaDeviceSynchronize"),
])  # fmt: skip
def test_a_wait_is_the_most_that_is_saved_and_has_a_name(
    call: str, under: tuple[str, ...], named: str
) -> None:
    graph = held_up(call, WAIT, under)
    (match,) = found_by(graph, "synchronisation")
    waited = graph.idle_ns("synchronisation")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert waited <= match.saved.high <= graph.judged.time.idle_ns
    assert match.saved.high == pytest.approx(WAIT, rel=0.01)
    assert match.evidence.endswith(f"; per step: {named}"), "the operator that a script calls"


@pytest.mark.left_out
def test_an_item_on_the_cpu_waits_for_nothing() -> None:
    assert "synchronisation" not in claims(held_up("", WAIT, ("aten::item", "aten::_local_scalar_dense")))


@pytest.mark.left_out
def test_a_short_wait_is_no_finding() -> None:
    assert "synchronisation" not in claims(
        held_up("cudaStreamSynchronize", 400, ("aten::item",), busy=100_000)
    )
