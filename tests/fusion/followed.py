"""One small model twice, written out and as suggestions have it: `python followed.py written|followed`."""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, HEADS, TOKENS, BATCH = 128, 4, 256, 2
WORDS = 20_000  # so many that an optimizer in many passes is a good part of the step on any machine


class Block(nn.Module):
    """Attention and RMSNorm by hand, or by their functions."""

    def __init__(self, followed: bool) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.followed = followed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))
        q, k, v = self.qkv(y).view(BATCH, TOKENS, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        if self.followed:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5).softmax(-1) @ v
        out: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(BATCH, TOKENS, WIDTH))
        return x + out


def main(followed: bool) -> None:
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Embedding(WORDS, WIDTH), *(Block(followed) for _ in range(2)))
    optimizer = torch.optim.AdamW(model.parameters(), fused=followed, foreach=not followed)

    def loss(tokens: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor = model(tokens).square().mean()
        return mean

    run = torch.compile(loss) if followed else loss
    for _ in range(12):
        run(torch.randint(WORDS, (BATCH, TOKENS))).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=followed)


if __name__ == "__main__":
    main(sys.argv[1] == "followed")
