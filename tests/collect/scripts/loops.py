"""Small compiled functions whose traffic can be said by hand, each in its own loop."""

import torch
import torch.nn.functional as F


def shift(x, y):
    return x.add_(y)


FUNCTIONS = {
    "gelu": lambda x, y: F.gelu(x),
    "bias": lambda x, y: x.sub(y[0]),
    "slice": lambda x, y: x[:, :256].neg(),
    "in place": shift,
    "sum": lambda x, y: x.exp().sum(-1),
    "two": lambda x, y: (x.mul(y).cos(), x.mul(y).sin()),
    "inner": lambda x, y: x.tanh().mul(2).sigmoid(),
    "rows": lambda x, y: F.embedding(torch.arange(64) * 3, x).mul(2),
}
x, y = torch.randn(512, 1024), torch.randn(512, 1024)
compiled = [torch.compile(function) for function in FUNCTIONS.values()]
weight = torch.randn(512, 1024, requires_grad=True)
squares = torch.compile(lambda w: w.square().sum())
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(9):
    for function in compiled:
        function(x, y)
    squares(weight).backward()
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    print("step", step)
