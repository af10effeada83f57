"""Image classification with a small residual network: convolutions between batch norms and ReLUs.

traceanalyze profile examples/convnet.py
traceanalyze profile examples/convnet.py --channels-last
"""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm round a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + self.shortcut(x))


def residual_network(classes: int) -> nn.Sequential:
    """A stem, three residual blocks, a grouped convolution, a classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        Residual(64, 64, 1), Residual(64, 128, 2), Residual(128, 256, 2),
        nn.Conv2d(256, 256, 3, padding=1, groups=8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes),
    )  # fmt: skip


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small residual network on random images.")
    for name, default in [("steps", 12), ("batch", 8), ("size", 128)]:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--channels-last", action="store_true", help="channels innermost in memory")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    args = options()
    torch.manual_seed(0)
    model = residual_network(classes=100).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    images = torch.rand(args.batch, 3, args.size, args.size).to(args.device)
    labels = torch.randint(0, 100, (args.batch,)).to(args.device)
    if args.channels_last:
        model, images = (each.to(memory_format=torch.channels_last) for each in (model, images))
    for step in range(args.steps):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=images.is_cuda):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step} loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
