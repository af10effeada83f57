"""`-m package.train`: its own package, relative imports, options of its own."""

import sys

import torch

from . import __name__ as package

print(package, __name__, __spec__.name, sys.argv[1:], sys.path[0] != "")
torch.manual_seed(0)
model = torch.nn.Linear(16, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(10):
    loss = model(torch.randn(64, 16)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.8f}")
