"""Calls operators in every way there is: the test reads off which line each belongs to.

Each operator is named in the line that calls it, after `# calls`.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


def twice(x: torch.Tensor) -> torch.Tensor:
    first = torch.relu(x)  # calls aten::relu
    second = torch.relu(first)  # calls aten::relu
    return first + second  # calls aten::add


def announced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        result = function(*args)
        return result.neg()  # calls aten::neg

    return wrapper


@announced
def decorated(x: torch.Tensor) -> torch.Tensor:
    return x.exp()  # calls aten::exp


@torch.no_grad()
def without_grad(x: torch.Tensor) -> torch.Tensor:
    return x.sin()  # calls aten::sin


def produced(x: torch.Tensor) -> Iterator[torch.Tensor]:
    yield x.cos()  # calls aten::cos
    yield x.tan()  # calls aten::tan


halved = lambda x: x.abs()  # noqa: E731  # calls aten::abs

CELL = compile("def in_a_cell(x):\n    y = x\n    return y.floor()\n", "<cell 1>", "exec")
SPACE: dict[str, Any] = {}
exec(CELL, SPACE)
exec("def from_text(x):\n    return x.ceil()\n", SPACE)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(
            self.linear(x)  # calls aten::linear
        )


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        x = twice(x)
        x = x + decorated(x)
        x = x + without_grad(x)
        for y in produced(x):
            x = x * y  # calls aten::mul
        x = halved(x)
        x = SPACE["in_a_cell"](x) + x
        x = SPACE["from_text"](x)  # calls aten::ceil
        return x.sum()  # calls aten::sum


def elsewhere(x: torch.Tensor) -> None:
    thread = threading.Thread(target=lambda: traced.append(sys.gettrace()))
    thread.start()
    thread.join()


traced: list[Any] = []
before = sys.gettrace()
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
data = torch.ones(4, 8)
for _ in range(14):
    loss = net(data)
    elsewhere(data)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
assert sys.gettrace() is before and traced == [None] * 14
print(float(loss))
