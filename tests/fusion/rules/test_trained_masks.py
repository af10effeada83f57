"""Dropout and a mask of numbers on a CPU: with a mask that is trained, no change of dropout helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.fusion.live import matches, recorded

TOKENS = 64
OUTSIDE = torch.zeros(TOKENS, TOKENS)


class Attention(nn.Module):
    """`masked` makes the mask of its table of positions."""

    def __init__(self, masked: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read, self.bias, self.masked = nn.Linear(32, 96), nn.Parameter(torch.rand(2 * TOKENS, 4)), masked

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.read(x).unflatten(-1, (3, 4, 8)).permute(2, 0, 3, 1, 4)
        mask = self.masked(self.bias)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=0.1)


def positions(table: Tensor) -> Tensor:
    """As T5 has them: a learned bias of each distance, and padding on top."""
    at = torch.arange(TOKENS)
    bias = table[at[:, None] - at + TOKENS - 1].permute(2, 0, 1)[None]
    return bias + torch.zeros(2, 1, 1, TOKENS)


def padding(table: Tensor) -> Tensor:
    """As transformers make it in each step: large negative numbers where nothing is."""
    return torch.ones(2, 1, 1, TOKENS).mul(-1.0).expand(-1, 1, TOKENS, -1).contiguous()


def detached(table: Tensor) -> Tensor:
    return positions(table.detach())


@pytest.mark.parametrize(
    ("masked", "tier"), [(positions, None), (padding, "T0"), (detached, "T0"), (lambda _: OUTSIDE, "T3")]
)
def test_dropout_is_in_the_way_where_the_mask_is_not(
    masked: Callable[[Tensor], Tensor], tier: str | None, tmp_path: Path
) -> None:
    model = Attention(masked)
    q = torch.rand(2, 4, TOKENS, 8, requires_grad=True)
    fused = torch._fused_sdp_choice(q, q, q, masked(model.bias), 0.0) == 1  # type: ignore[misc]
    assert fused == (tier is not None), "what PyTorch itself says of the call without dropout"
    optimizer, x = torch.optim.SGD(model.parameters(), lr=0.1), torch.rand(2, TOKENS, 32)

    def step() -> None:
        model(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    found = matches(recorded(step, tmp_path), "attention_fallback")
    assert {match.tier for match in found} == ({tier} if tier else set())
    assert all("dropout_p=0.1" in match.title for match in found)
    assert all(("A mask that is trained" in match.action) == (tier == "T3") for match in found)
