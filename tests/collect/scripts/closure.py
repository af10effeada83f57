"""LBFGS: forward and backward run inside the optimizer's step, several times."""

import torch

torch.manual_seed(0)
model = torch.nn.Linear(16, 16)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
inputs = torch.randn(64, 16)


def closure():
    optimizer.zero_grad()
    loss = (model(inputs) - inputs).pow(2).mean()
    loss.backward()
    return loss


for step in range(10):
    print(f"step {step} loss {optimizer.step(closure).item():.8f}")
