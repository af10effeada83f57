"""Ends in step 9, or as the first argument says: exit7, message, exception, interrupt, terminate, os_exit."""

import atexit
import os
import signal
import sys

import torch

atexit.register(print, "at exit")
torch.manual_seed(0)
how, when = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9
model = torch.nn.Linear(16, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(64, 16)


def end():
    sys.stdout.flush()
    if how == "exit7":
        sys.exit(7)
    if how == "message":
        sys.exit("out of data")
    if how == "exception":
        raise ValueError("step 9 is bad")
    if how == "interrupt":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        os.kill(os.getpid(), signal.SIGINT)
    if how == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "os_exit":
        os._exit(5)


for step in range(12):
    loss = (model(inputs) - inputs).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    if step == when:
        end()
    optimizer.step()
    print(f"step {step} loss {loss.item():.8f}")
