"""Profiles itself, with the modern interface and the old one, while it trains."""

import os
import tempfile

import torch
from torch.profiler import ProfilerActivity, profile, schedule

torch.manual_seed(0)
model = torch.nn.Linear(16, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(64, 16)
ready = []
with profile(
    activities=[ProfilerActivity.CPU],
    schedule=schedule(wait=1, warmup=1, active=2, repeat=2),
    on_trace_ready=lambda found: ready.append(found.step_num),
) as profiler:
    for step in range(10):
        loss = (model(inputs) - inputs).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        profiler.step()
        print(f"step {step} loss {loss.item():.8f}")
with torch.autograd.profiler.profile(record_shapes=True) as old:
    model(inputs)
old.key_averages().table()
profiler.key_averages().table(sort_by="cpu_time_total")
with tempfile.TemporaryDirectory() as folder:
    profiler.export_chrome_trace(os.path.join(folder, "own.json"))
    print("ready after", ready, os.listdir(folder))
