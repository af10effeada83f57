"""A compiled model and a compiled optimizer step."""

import sys

import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 64))
if "--in-place" in sys.argv:
    model.compile()
else:
    model = torch.compile(model)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
inputs = torch.randn(256, 64)
for step in range(10):
    loss = (model(inputs) - inputs).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step} loss {loss.item():.6f}")
