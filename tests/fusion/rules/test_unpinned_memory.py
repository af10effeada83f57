"""Copies from pageable memory that the device waits for, and those that pinning does not help."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import held_up
from tests.fusion.scenes import claims, found_by

WAIT, SIZE = 2_000_000, 50_000_000
PAGEABLE = "Memcpy HtoD (Pageable -> Device)"


@pytest.mark.parametrize("size", [SIZE, -1])
def test_the_wait_is_the_most_that_is_saved(size: int) -> None:
    graph = held_up("cudaMemcpyAsync", WAIT, ("aten::to", "aten::copy_"), copy=PAGEABLE, copied=size)
    (match,) = found_by(graph, "unpinned_memory")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == graph.idle_ns("host_to_device_copy") == pytest.approx(WAIT, rel=0.01)
    assert ("50.0 MB per step" if size > 0 else "0 B per step") in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("copy, size, wait", [
    ("Memcpy HtoD (Pinned -> Device)", SIZE, WAIT),  # pinned already
    ("Memcpy HtoD (Host -> Device)", SIZE, WAIT),    # from what memory is not recorded
    (PAGEABLE, 65536, WAIT),                         # a few numbers: the driver buffers them
    (PAGEABLE, SIZE, 300),                           # hardly a wait
], ids=["pinned", "unknown", "small", "short"])  # fmt: skip
def test_what_pinning_does_not_help(copy: str, size: int, wait: int) -> None:
    graph = held_up("cudaMemcpyAsync", wait, ("aten::copy_",), copy=copy, copied=size, busy=100_000)
    assert "unpinned_memory" not in claims(graph)
