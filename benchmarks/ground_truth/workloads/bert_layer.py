"""One encoder layer of BERT-large as published figures have it: batch 8, 512 tokens, fp16, in training."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Layer(nn.Module):
    """Post-norm; attention and dropout written out, ReLU between the two linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            each(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for each in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        mixed = F.dropout(scores.softmax(-1), 0.1) @ v
        y = self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        x = self.norm1(x + F.dropout(y, 0.1))
        return self.norm2(x + F.dropout(self.down(F.dropout(F.relu(self.up(x)), 0.1)), 0.1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch, tokens, width, heads = (2, 32, 64, 4) if args.small else (8, 512, 1024, 16)
    dtype = torch.float32 if device == "cpu" else torch.float16
    layer: nn.Module = Layer(width, heads).to(device, dtype)
    x = torch.rand(batch, tokens, width, device=device, dtype=dtype).requires_grad_()
    gradient = torch.rand_like(x)
    run = torch.compile(layer) if args.compile else layer
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    for _ in range(15):
        run(x).backward(gradient)
        optimizer.step()
        optimizer.zero_grad()
        x.grad = None


if __name__ == "__main__":
    main()
