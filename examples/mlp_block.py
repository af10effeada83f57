"""Linear, GELU, Linear, LayerNorm: what lies between the products is memory-bound until it is fused.

traceanalyze profile examples/mlp_block.py
traceanalyze profile examples/mlp_block.py --compile
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from statistics import median

import torch
from torch import Tensor, nn

UNTIMED = 3  # compilation, and memory that is asked for the first time


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train one MLP block; the last line is its median time.")
    for name, default in [("steps", 15), ("batch", 512), ("width", 1024)]:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def train_step(block: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, target: Tensor) -> float:
    """One step; reads the loss back last, so that a GPU has done all of the step on return."""
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=x.is_cuda):
        loss = nn.functional.mse_loss(block(x), target)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def main() -> None:
    args = options()
    torch.manual_seed(0)
    hidden = 4 * args.width
    block = nn.Sequential(
        nn.Linear(args.width, hidden), nn.GELU(), nn.Linear(hidden, args.width), nn.LayerNorm(args.width)
    ).to(args.device)
    optimizer = torch.optim.AdamW(block.parameters(), lr=1e-3)
    x, target = torch.randn(2, args.batch, args.width).to(args.device)
    if args.compile:
        compiler = next(filter(shutil.which, [os.environ.get("CXX", ""), "g++", "clang++"]), None)
        if compiler:
            os.environ["CXX"] = compiler  # torch itself looks for one of them alone
            block = torch.compile(block)
        else:
            print("mlp_block.py: no C++ compiler for --compile; the steps stay eager", file=sys.stderr)
    taken = []
    for step in range(args.steps):
        start = time.perf_counter()
        loss = train_step(block, optimizer, x, target)
        taken.append(time.perf_counter() - start)
        print(f"step {step} loss {loss:.6f}")
    print(f"median step {1000 * median(taken[UNTIMED:] or taken):.3f} ms")


if __name__ == "__main__":
    main()
