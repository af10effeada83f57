"""A GradScaler whose second and seventh gradient overflow, so that those steps are skipped."""

import torch

torch.manual_seed(0)
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
scaler = torch.amp.GradScaler("cpu")
inputs = torch.randn(256, 64)
for step in range(14):
    loss = (model(inputs) - inputs).pow(2).mean()
    scaler.scale(loss).backward()
    if step in (1, 6):
        model.weight.grad[0, 0] = float("inf")
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    print(f"step {step} loss {loss.item():.8f} scale {scaler.get_scale()}")
