"""Small models of six kinds, trained or run for a few steps: `python models.py NAME [inference]`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, HEADS, LAYERS, TOKENS, BATCH, WORDS = 64, 4, 6, 48, 4, 200


class Attention(nn.Module):
    """By hand, as many a script has it."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.causal = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(BATCH, TOKENS, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5
        if self.causal:
            scores = scores.masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), float("-inf"))
        mixed = F.dropout(scores.softmax(-1), 0.1) @ v
        out: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(BATCH, TOKENS, WIDTH))
        return out


class RMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, 2 * WIDTH, bias=False), nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down: torch.Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return down


class Block(nn.Module):
    def __init__(self, norm: Callable[[], nn.Module], inner: Callable[[], nn.Module], causal: bool) -> None:
        super().__init__()
        self.first, self.second = norm(), norm()
        self.attention, self.inner = Attention(causal), inner()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.first(x))
        x = x + self.inner(self.second(x))
        return x


class Language(nn.Module):
    def __init__(self, norm: Callable[[], nn.Module], inner: Callable[[], nn.Module], causal: bool) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.Sequential(*(Block(norm, inner, causal) for _ in range(LAYERS)))
        self.norm, self.head = norm(), nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(TOKENS))
        return F.cross_entropy(self.head(self.norm(self.blocks(x))).view(-1, WORDS), ids.view(-1))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1))


class Residual(nn.Module):
    def __init__(self, wide: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(wide // stride, wide, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(wide), nn.BatchNorm2d(wide)])
        self.side = nn.Conv2d(wide // stride, wide, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.side(x))


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1), Residual(16, 1), Residual(16, 1), Residual(32, 2), Residual(32, 1),
            Residual(64, 2), Residual(64, 1),
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.head(self.body(x).mean((2, 3))), torch.arange(BATCH))


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 32, 3, 2, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(4, 16), nn.GroupNorm(4, 32), nn.GroupNorm(4, 48)])
        self.middle, self.leave = nn.Conv2d(32, 32, 3, 1, 1), nn.Conv2d(48, 3, 3, 1, 1)
        self.time = nn.Linear(16, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top = F.silu(self.norms[0](self.enter(x)))
        low = self.down(top) + self.time(torch.ones(BATCH, 16))[:, :, None, None]
        low = self.middle(F.silu(self.norms[1](low)))
        both = torch.cat([F.interpolate(low, scale_factor=2), top], 1)
        return F.mse_loss(self.leave(F.silu(self.norms[2](both))), x)


class Recommender(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(500, 16, mode="sum") for _ in range(6))
        self.dense = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(16 + 21, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ids = torch.randint(0, 500, (64 * 3,))
        bags = [table(ids, torch.arange(0, 64 * 3, 3)) for table in self.tables]
        first = self.dense(x)
        every = torch.stack([first, *bags], 1)
        pairs = (every @ every.transpose(1, 2))[:, *torch.tril_indices(7, 7, -1)]
        return F.binary_cross_entropy(self.top(torch.cat([first, pairs], 1)).squeeze(1), torch.ones(64))


def layer_norm() -> nn.Module:
    return nn.LayerNorm(WIDTH)


def words() -> torch.Tensor:
    return torch.randint(0, WORDS, (BATCH, TOKENS))


MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "gpt": lambda: (Language(layer_norm, plain, True), words()),
    "llama": lambda: (Language(RMSNorm, Gated, True), words()),
    "bert": lambda: (Language(layer_norm, plain, False), words()),
    "resnet": lambda: (Pictures(), torch.randn(BATCH, 3, 32, 32)),
    "unet": lambda: (Denoiser(), torch.randn(BATCH, 3, 16, 16)),
    "recommender": lambda: (Recommender(), torch.randn(64, 13)),
}


def trained(name: str) -> Callable[[], None]:
    """One step of its training."""
    torch.manual_seed(0)
    model, data = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def step() -> None:
        optimizer.zero_grad()
        model(data).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def inferred(name: str) -> Callable[[], None]:
    """One call of it, without gradients."""
    torch.manual_seed(0)
    model, data = MODELS[name]()
    model.eval()

    def step() -> None:
        with torch.no_grad():
            model(data)

    return step


def main(name: str, kind: str) -> None:
    step = inferred(name) if kind == "inference" else trained(name)
    for _ in range(12):
        step()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "training")
