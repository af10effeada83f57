"""One training step in variants: what `benchmarks/changes.py` records on either side of a change."""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Attention and a feed-forward layer; attention written out, or one call."""

    def __init__(self, width: int, heads: int, fused: bool, copies: bool) -> None:
        super().__init__()
        self.heads, self.fused, self.copies = heads, fused, copies
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.norm = (
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
            nn.LayerNorm(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        hidden = F.gelu(self.up(self.norm(x)))
        if self.copies:
            for _ in range(4):
                hidden = hidden.transpose(1, 2).contiguous().transpose(1, 2).contiguous()
        return x + self.down(hidden)


def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("attention", "adamw", "compile", "items", "copies", "fp64", "checkpoint"):
        options.add_argument(f"--{name}", action="store_true")
    chosen = options.parse_args()
    torch.manual_seed(0)
    width, dtype = 256, torch.float64 if chosen.fp64 else torch.float32
    model = nn.Sequential(*(Block(width, 8, chosen.attention, chosen.copies) for _ in range(2))).to(dtype)
    # AdamW one by one or in one fused kernel; SGD elsewhere, so that the optimizer is no part of the change.
    optimizer = torch.optim.AdamW(model.parameters(), fused=chosen.adamw, foreach=False)
    forward = torch.compile(model) if chosen.compile else model
    x = torch.rand(4, 256, width, dtype=dtype)
    for _ in range(14):
        optimizer.zero_grad()
        loss = forward(x).square().mean()
        loss.backward()
        if chosen.items:
            sum(row.norm().item() for parameter in model.parameters() for row in parameter.grad)
        if chosen.checkpoint:
            torch.save(model.state_dict(), "/dev/null")
        optimizer.step()


if __name__ == "__main__":
    main()
