"""A loop of as many short training steps as the argument says, for `overhead.py`; prints its seconds."""

import sys
import time

import torch
from torch import nn

STEPS = int(sys.argv[1])
torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(*(nn.Sequential(nn.Linear(128, 128), nn.GELU(), nn.LayerNorm(128)) for _ in range(4)))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
inputs = torch.randn(256, 128)
start = time.perf_counter()
for _ in range(STEPS):
    loss = (model(inputs) - inputs).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(f"{time.perf_counter() - start:.6f} s in {STEPS} steps, loss {loss.item():.6f}")
