"""A small Llama-like model in bf16 without gradients: prefill of many tokens, or decoding with a cache."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat((-right, left), -1) * sin


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, room: int, batch: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, 3 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(3 * width, width, bias=False)
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.register_buffer("keys", torch.zeros(batch, heads, room, width // heads), persistent=False)
        self.register_buffer("values", torch.zeros(batch, heads, room, width // heads), persistent=False)

    def forward(self, x: Tensor, at: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        y = self.norm1(x)
        q, k, v = (
            each(y).view(batch, tokens, self.heads, -1).transpose(1, 2) for each in (self.q, self.k, self.v)
        )
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        self.keys.index_copy_(2, at, k)
        self.values.index_copy_(2, at, v)
        if tokens > 1:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mixed = F.scaled_dot_product_attention(q, self.keys, self.values)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        z = self.norm2(x)
        return x + self.down(F.silu(self.gate(z)) * self.up(z))


class Llm(nn.Module):
    def __init__(self, words: int, width: int, heads: int, layers: int, room: int, batch: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.blocks = nn.ModuleList(Block(width, heads, room, batch) for _ in range(layers))
        self.norm, self.head = Norm(width), nn.Linear(width, words, bias=False)

    def forward(self, ids: Tensor, at: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = self.words(ids)
        for block in self.blocks:
            x = block(x, at, cos, sin)
        return self.head(self.norm(x)[:, -1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--decode", action="store_true")
    parser.add_argument("--graphs", action="store_true")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    words, width, heads, layers, room, batch = (
        (100, 64, 4, 2, 32, 2) if args.small else (32_000, 2048, 16, 4, 2048, 8)
    )
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model: nn.Module = Llm(words, width, heads, layers, room, batch).to(device, dtype).eval()
    tokens = 1 if args.decode else room
    ids, at = torch.zeros(batch, tokens, dtype=torch.long, device=device), torch.arange(tokens, device=device)
    cos, sin = (torch.rand(tokens, width // heads, device=device, dtype=dtype) for _ in range(2))
    run = torch.compile(model, mode="reduce-overhead") if args.graphs else model
    with torch.no_grad():
        for _ in range(15):
            run(ids, at, cos, sin)


if __name__ == "__main__":
    main()
