"""No optimizer: a step is a call of the model."""

import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 64)).eval()
with torch.inference_mode():
    for step in range(10):
        print(f"step {step} mean {model(torch.randn(256, 64)).mean().item():.8f}")
