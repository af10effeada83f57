"""Evaluates for ten batches before there is an optimizer, then trains."""

import torch

torch.manual_seed(0)
model = torch.nn.Linear(16, 16)
inputs = torch.randn(64, 16)
with torch.no_grad():
    for _ in range(10):
        model(inputs)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(10):
    loss = (model(inputs) - inputs).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.8f}")
