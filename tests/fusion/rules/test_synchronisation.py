"""Waits of the host for the device, and who asked for them."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import held_up
from tests.fusion.scenes import claims, found_by
from tests.fusion.test_rules import judged
from tests.trace.build import Rows
from traceanalyzer.fusion.rules.synchronisation import waiting_operators
from traceanalyzer.records.trace import RecordKind

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


def test_an_operator_that_copies_and_then_waits_is_one_wait_and_a_copy_alone_is_one_too() -> None:
    """`.item()` is a copy to pageable memory and a call that waits; `.cpu()` may be the copy alone."""
    rows, copy = Rows(), "Memcpy DtoH (Device -> Pageable)"
    rows.annotation("ProfilerStep#0", 0, 100_000)
    rows.op("aten::relu", 1_000, 2_000)
    rows.launch(1, 1_100, end=1_900)
    rows.kernel("kernel", 3_000, 9_000, 1)
    for number, (name, start) in enumerate((("aten::item", 4_000), ("aten::copy_", 20_000)), 2):
        rows.op(name, start, start + 12_000)
        rows.launch(number, start + 100, name="cudaMemcpyAsync", end=start + 7_000)
        rows.kernel(copy, start + 6_000, start + 6_500, number, kind=RecordKind.MEMCPY)
    rows.launch(4, 11_500, name="cudaStreamSynchronize", end=15_000)
    graph = judged(rows.trace())
    assert waiting_operators(graph, 0, 100_000) == "1 aten::item, 1 aten::copy_"
    assert waiting_operators(graph, 0, 10_000) == "1 aten::item"
