"""Data-parallel training: each process has its own batch; gradients are averaged during the backward pass.

traceanalyze profile examples/ddp.py
torchrun --nproc-per-node 2 examples/ddp.py
"""

from __future__ import annotations

import argparse
import os

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a multilayer perceptron on several processes.")
    for name, default in [("steps", 12), ("batch", 128), ("width", 512), ("layers", 4)]:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    return parser.parse_args()


def start() -> torch.device:
    """Join the other processes: on a GPU each with NCCL where there are enough, else on the CPU with gloo."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    on_gpu = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    backend = "nccl" if on_gpu else "gloo"
    if on_gpu:
        torch.cuda.set_device(device)
    if "RANK" in os.environ:  # under torchrun
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    return device


def train(args: argparse.Namespace, device: torch.device) -> None:
    rank, world = dist.get_rank(), dist.get_world_size()
    layers = [nn.Sequential(nn.Linear(args.width, args.width), nn.ReLU()) for _ in range(args.layers)]
    model = DistributedDataParallel(nn.Sequential(*layers, nn.Linear(args.width, 10)).to(device))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    torch.manual_seed(1 + rank)
    x, labels = torch.randn(args.batch, args.width).to(device), torch.randint(0, 10, (args.batch,)).to(device)
    for step in range(args.steps):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=x.is_cuda):
            loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        mean = loss.detach() / world
        dist.all_reduce(mean)
        if rank == 0:
            print(f"step {step} loss {mean.item():.6f}")


def main() -> None:
    args = options()
    torch.manual_seed(0)
    device = start()
    train(args, device)
    dist.barrier()  # the first to leave would cut the others off
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
