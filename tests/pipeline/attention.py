"""A small model that writes its attention out, or with `fused` calls PyTorch's; run under `profile`."""

import sys

import torch
from torch.nn.functional import scaled_dot_product_attention

FUSED = "fused" in sys.argv
BATCH, TOKENS, HEADS, CHANNELS = 2, 1024, 4, 64


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(HEADS * CHANNELS, 3 * HEADS * CHANNELS)
        self.outer = torch.nn.Linear(HEADS * CHANNELS, HEADS * CHANNELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.inner(x).view(BATCH, TOKENS, 3, HEADS, CHANNELS).permute(2, 0, 3, 1, 4)
        if FUSED:
            y = scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-2, -1) / CHANNELS**0.5, -1) @ v
        mixed: torch.Tensor = self.outer(y.transpose(1, 2).reshape(BATCH, TOKENS, HEADS * CHANNELS))
        return x + mixed


model = torch.nn.Sequential(*(Attention() for _ in range(3)))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
for _ in range(10):
    model(torch.randn(BATCH, TOKENS, HEADS * CHANNELS)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
