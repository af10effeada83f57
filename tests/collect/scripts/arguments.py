"""Options of its own, some spelled like ours, a sibling module, its own name and folder."""

import argparse
import os
import pickle
import sys

import sibling
import torch


class Settings:
    def __init__(self, rate):
        self.rate = rate


parser = argparse.ArgumentParser()
parser.add_argument("-o", "--output", required=True)
parser.add_argument("-m", action="store_true")
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("rest", nargs="*")
options = parser.parse_args()
print(sorted(vars(options).items()), os.path.basename(sys.argv[0]), __name__, sibling.ANSWER)
print(os.path.basename(__file__), os.path.basename(sys.path[0]), pickle.loads(pickle.dumps(Settings(2))).rate)
print(sorted(name for name in os.environ if "TRACEANALYZE" in name or "KINETO" in name), __spec__)
torch.manual_seed(0)
model = torch.nn.Linear(16, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=options.lr)
inputs = torch.randn(64, 16)
for step in range(10):
    loss = (model(inputs) - inputs).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.8f}")
