"""Models of torch_geometric and of plain PyTorch, with random weights."""

from __future__ import annotations

import random
from functools import partial

import torch
from case import Batch, Case, Changes, Parts
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam
from torch.utils.data import DataLoader, Dataset


def _graph(nodes: int, edges: int, channels: int) -> Batch:
    labels = torch.randint(0, 16, (nodes,))
    return torch.randn(nodes, channels), torch.randint(0, nodes, (2, edges)), labels


def _node_loss(model: nn.Module, batch: Batch) -> Tensor:
    return F.cross_entropy(model(batch[0], batch[1]), batch[2])


def sage(_: Changes) -> Parts:
    from torch_geometric.nn import GraphSAGE

    return Parts(GraphSAGE(96, 96, 2, 16), _node_loss, [_graph(30_000, 300_000, 96)], Adam)


def gat(_: Changes) -> Parts:
    from torch_geometric.nn import GAT

    return Parts(GAT(64, 64, 2, 16, heads=4), _node_loss, [_graph(16_000, 128_000, 64)], Adam)


class Recommender(nn.Module):
    """Bags of categories, the products of all pairs, and a small network on top."""

    def __init__(self, tables: int, rows: int, width: int, sparse: bool) -> None:
        super().__init__()
        bags = (nn.EmbeddingBag(rows, width, mode="sum", sparse=sparse) for _ in range(tables))
        self.bags = nn.ModuleList(bags)
        self.dense = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, width), nn.ReLU())
        pairs = (tables + 1) * tables // 2
        self.top = nn.Sequential(nn.Linear(width + pairs, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        dense = self.dense(numbers)
        all_of_it = torch.stack(
            [dense, *(bag(ids) for bag, ids in zip(self.bags, categories, strict=True))], 1
        )
        products = torch.bmm(all_of_it, all_of_it.transpose(1, 2))
        row, column = torch.tril_indices(len(self.bags) + 1, len(self.bags) + 1, -1)
        return self.top(torch.cat([dense, products[:, row, column]], 1)).squeeze(1)


def recommender(changes: Changes) -> Parts:
    model = Recommender(8, 200_000, 32, "sparse" in changes)
    batch = (torch.randn(8192, 16), torch.randint(0, 200_000, (8, 8192, 4)), torch.rand(8192).round())

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(batch[0], batch[1]), batch[2])

    return Parts(model, loss, [batch], partial(SGD, lr=0.1))


class Recurrent(nn.Module):
    """A gated cell, step by step in Python."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read, self.state = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
        self.head = nn.Linear(width, 16)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.new_zeros(x.shape[1], x.shape[2])
        for given in self.read(x):
            reset, update, new = given.chunk(3, -1)
            reset_by, update_by, new_by = self.state(hidden).chunk(3, -1)
            update = torch.sigmoid(update + update_by)
            new = torch.tanh(new + torch.sigmoid(reset + reset_by) * new_by)
            hidden = (1 - update) * new + update * hidden
        return self.head(hidden)


def _classified(model: nn.Module, batch: Batch) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def recurrent(_: Changes) -> Parts:
    return Parts(Recurrent(256), _classified, [(torch.randn(32, 64, 256), torch.randint(0, 16, (64,)))])


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Segmenter(nn.Module):
    """A U-Net of three levels."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([_twice(3, 24), _twice(24, 48), _twice(48, 96)])
        self.up = nn.ModuleList([_twice(144, 48), _twice(72, 24)])
        self.head = nn.Conv2d(24, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level in self.down:
            kept.append(level(x))
            x = F.max_pool2d(kept[-1], 2)
        x = kept.pop()
        for level in self.up:
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0), kept.pop()], 1))
        return self.head(x)


def segmenter(_: Changes) -> Parts:
    batch = (torch.randn(8, 3, 128, 128), torch.randint(0, 8, (8, 128, 128)))
    return Parts(Segmenter(), _classified, [batch], Adam)


class Field(nn.Module):
    """Color and density at points, which a positional encoding describes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(63, 128), nn.Linear(128, 128), nn.Linear(128, 4)])

    def forward(self, points: Tensor) -> Tensor:
        waves = [points]
        for octave in range(10):
            waves += [torch.sin(2.0**octave * points), torch.cos(2.0**octave * points)]
        x = torch.cat(waves, -1)
        for layer in self.layers[:-1]:
            x = F.softplus(layer(x))
        color, density = self.layers[-1](x).split((3, 1), -1)
        return torch.cat([torch.sigmoid(color), F.relu(density)], -1)


def field(_: Changes) -> Parts:
    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    return Parts(Field(), loss, [(torch.rand(65_536, 3), torch.rand(65_536, 4))], Adam)


class Signals(Dataset[tuple[Tensor, int]]):
    """Series that are cut and smoothed in Python when they are asked for."""

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = random.Random(index)
        values = [noise.gauss(0.0, 1.0) for _ in range(512)]
        smooth = [sum(values[place : place + 4]) / 4 for place in range(508)]
        return torch.tensor(smooth), index % 16


def loaded(changes: Changes) -> Parts:
    model = nn.Sequential(
        nn.Linear(508, 1024), nn.GELU(), nn.Linear(1024, 1024), nn.GELU(), nn.Linear(1024, 16)
    )
    workers = {"num_workers": 1, "persistent_workers": True} if "workers" in changes else {}
    batches = DataLoader(Signals(), batch_size=64, **workers)  # type: ignore[arg-type]
    return Parts(model, _classified, batches)


CASES = (
    Case("GraphSAGE", "torch_geometric", sage),
    Case("GAT", "torch_geometric", gat),
    Case("Recommender", "plain", recommender, ("sparse",)),
    Case("Gated cell in a loop", "plain", recurrent),
    Case("U-Net", "plain", segmenter, ("channels_last",)),
    Case("Radiance field", "plain", field),
    Case("Signals, loaded in Python", "plain", loaded, ("workers",)),
)
