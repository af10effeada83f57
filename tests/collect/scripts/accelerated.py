"""Hugging Face Accelerate: wrapped model and optimizer, gradients accumulated over two micro-batches."""

import torch
from accelerate import Accelerator

torch.manual_seed(0)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
model = torch.nn.Linear(16, 16)
model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
inputs = torch.randn(64, 16)
for step in range(20):
    with accelerator.accumulate(model):
        loss = (model(inputs) - inputs).pow(2).mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    print(f"step {step} loss {loss.item():.8f}")
