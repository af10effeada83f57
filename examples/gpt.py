"""Next-token training of a small GPT in plain torch; attention is written out, so its scores go to memory.

traceanalyze profile examples/gpt.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Pre-norm transformer block; `fused` leaves the attention to torch's own kernel."""

    def __init__(self, width: int, heads: int, length: int, fused: bool = False) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.register_buffer("future", torch.ones(length, length).triu(1).bool(), persistent=False)

    def attention(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
            mixed = scores.masked_fill(self.future, float("-inf")).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    """Tokens to the cross entropy of the next token."""

    def __init__(
        self, vocabulary: int, width: int, heads: int, layers: int, length: int, fused: bool = False
    ) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, length, fused) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small GPT on synthetic tokens.")
    for name, default in [("steps", 12), ("width", 256), ("layers", 2), ("batch", 4), ("length", 256)]:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--fused", action="store_true", help="torch's own attention kernel")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    args = options()
    torch.manual_seed(0)
    model = Gpt(2048, args.width, args.width // 32, args.layers, args.length, args.fused).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    ids = torch.randint(0, 2048, (args.batch, args.length)).to(args.device)
    if args.compile:
        compiler = next(filter(shutil.which, [os.environ.get("CXX", ""), "g++", "clang++"]), None)
        if compiler:
            os.environ["CXX"] = compiler  # torch itself looks for one of them alone
            model = torch.compile(model)
        else:
            print("gpt.py: no C++ compiler for --compile; the steps stay eager", file=sys.stderr)
    for step in range(args.steps):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=ids.is_cuda):
            loss = model(ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step} loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
