"""RMSNorm, a gate and a residual, each written out: little but memory traffic until it is compiled.

traceanalyze profile examples/memory_block.py
traceanalyze profile examples/memory_block.py --compile
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """What stands between the products of a transformer, on (batch, width); the mean square of its result."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.ones(width)), nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        normed = self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))
        return (x + self.scale * (torch.sigmoid(gate) * gate * normed)).square().mean()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a block without products.")
    for name, default in [("steps", 15), ("batch", 16384), ("width", 1024)]:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    args = options()
    torch.manual_seed(0)
    block: nn.Module = Block(args.width).to(args.device)
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    x, gate = torch.randn(2, args.batch, args.width, device=args.device)
    if args.compile:
        compiler = next(filter(shutil.which, [os.environ.get("CXX", ""), "g++", "clang++"]), None)
        if compiler:
            os.environ["CXX"] = compiler  # torch itself looks for one of them alone
            block = torch.compile(block)
        else:
            print("memory_block.py: no C++ compiler for --compile; the steps stay eager", file=sys.stderr)
    for step in range(args.steps):
        loss = block(x, gate)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step} loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
