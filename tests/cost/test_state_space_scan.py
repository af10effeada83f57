"""The work of a chunked scan, counted product by product."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.calls import call_of
from traceanalyzer.cost import price_call
from traceanalyzer.records import Cost

SIZE = st.integers(1, 6)


@given(sequences=SIZE, length=st.integers(1, 40), heads=SIZE, head=SIZE, groups=SIZE, state=SIZE, chunk=SIZE)
def test_every_pair_and_state_is_counted_once(
    sequences: int, length: int, heads: int, head: int, groups: int, state: int, chunk: int
) -> None:
    """C B^T and its product with x for each pair of a chunk; states in, out and to the next chunk."""
    counted = 0
    for begin in range(0, length, chunk):
        steps = min(chunk, length - begin)
        for later in range(steps):
            counted += sum(2 * groups * state + 2 * heads * head for _ in range(later + 1))
        counted += steps * 2 * (2 * heads * head * state) + 2 * heads * head * state
    x = torch.empty(sequences, length, heads, head)
    b = torch.empty(sequences, length, groups, state)
    cost = price_call(call_of("MambaChunkScanCombinedFn", x, x[..., 0], x[0, 0, :, 0], b, b, chunk))
    assert isinstance(cost, Cost) and cost.flops == sequences * counted


def test_the_head_is_found_where_no_argument_tells_it() -> None:
    """Half of a width of 292 and of 160 channels with 16 states: 4 heads of 32, with nothing beside."""
    small = [torch.empty(4) for _ in range(3)]
    told, left = (
        price_call(call_of(
            "MambaSplitConv1dScanCombinedFn", torch.empty(2, 100, 292), torch.empty(160, 4), None, *small, 64,
            None, None, False, None, None, 1e-6, None, None, head, 1, False,
        )) for head in (32, None)
    )  # fmt: skip
    assert isinstance(told, Cost) and told == left
