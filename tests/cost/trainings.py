"""Small trainings, of many kinds of operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F


def trainings() -> Iterator[Callable[[], object]]:
    """Each runs one step of something, forward, backward and the optimizer, the same each time."""
    yield from (transformer, convolutional, denoiser, recurrent, losses, mixtures)


def step(model: nn.Module, loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer) -> None:
    for _ in range(2):  # the second step has its optimizer's state
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def transformer() -> None:
    torch.manual_seed(1)
    model = nn.ModuleDict({
        "embedding": nn.Embedding(50, 32), "norm": nn.LayerNorm(32), "qkv": nn.Linear(32, 96),
        "out": nn.Linear(32, 32), "up": nn.Linear(32, 128), "down": nn.Linear(128, 32),
        "head": nn.Linear(32, 50),
    })  # fmt: skip
    ids = torch.randint(0, 50, (3, 17))

    def loss() -> torch.Tensor:
        x = model["embedding"](ids)
        q, k, v = model["qkv"](model["norm"](x)).view(3, 17, 3, 4, 8).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + model["out"](attended.transpose(1, 2).reshape(3, 17, 32))
        x = x + F.dropout(model["down"](F.gelu(model["up"](x))), 0.1)
        return F.cross_entropy(model["head"](x).view(-1, 50), ids.view(-1))

    step(model, loss, torch.optim.AdamW(model.parameters(), foreach=True))
    step(model, loss, torch.optim.AdamW(model.parameters(), fused=True))
    step(model, loss, torch.optim.Adam(model.parameters(), foreach=False))


def convolutional() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8), nn.Hardswish(), nn.Conv2d(8, 12, 1, bias=False),
        nn.ConvTranspose2d(12, 6, 2, stride=2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 5),
    )  # fmt: skip
    for layout in (torch.contiguous_format, torch.channels_last):
        images = torch.randn(4, 3, 19, 21).to(memory_format=layout)

        def loss(images: torch.Tensor = images) -> torch.Tensor:
            mean: torch.Tensor = model(images).logsumexp(1).mean()
            return mean

        step(model, loss, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))
    model.eval()
    with torch.no_grad():
        model(images)


def denoiser() -> None:
    torch.manual_seed(3)
    down, up = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(12, 4, 3, padding=1)
    norm = nn.GroupNorm(2, 8)
    model = nn.ModuleList([down, up, norm])
    x = torch.randn(2, 4, 8, 8)

    def loss() -> torch.Tensor:
        h = F.silu(norm(down(x)))
        h = F.interpolate(F.avg_pool2d(h, 2), scale_factor=2, mode="nearest")
        h = F.interpolate(F.max_pool2d(h, 2), scale_factor=2, mode="bilinear")
        return F.mse_loss(up(torch.cat([h, x], 1)), x)

    step(model, loss, torch.optim.AdamW(model.parameters()))


def recurrent() -> None:
    torch.manual_seed(4)
    model = nn.GRUCell(6, 5)
    x = torch.randn(3, 6)
    step(model, lambda: model(x).square().sum(), torch.optim.RMSprop(model.parameters()))


def losses() -> None:
    torch.manual_seed(5)
    w = nn.Parameter(torch.randn(6, 7))
    model = nn.ParameterList([w])
    target, labels = torch.rand(6, 7), torch.randint(0, 7, (6,))
    for each in (
        lambda: F.l1_loss(w, target), lambda: F.smooth_l1_loss(w, target), lambda: F.huber_loss(w, target),
        lambda: F.binary_cross_entropy_with_logits(w, target),
        lambda: F.binary_cross_entropy(torch.sigmoid(w), target),
        lambda: F.nll_loss(F.log_softmax(w, 1), labels), lambda: F.softplus(w).std(),
        lambda: (F.softmax(w, 0) * F.elu(w)).norm(), lambda: torch.tanh(w).amax(1).prod(),
        lambda: F.leaky_relu(w).cumsum(1).var(0).sum(), lambda: F.glu(w[:, :6]).mean(),
        lambda: w.sort(1).values[:, :3].mean(), lambda: w.topk(2).values.sum(),
        lambda: F.pad(w, (1, 2)).sum(),
        lambda: torch.einsum("ij,kj->ik", w, target).exp().mean(), lambda: w[1:4, ::2].clamp(min=0).sum(),
        lambda: w.expand(3, 6, 7).contiguous().sum(), lambda: w.t().contiguous().abs().sum(),
        lambda: w.unfold(1, 3, 1).contiguous().sum(), lambda: torch.where(w > 0, w, target).sum(),
        lambda: w.flip(0).roll(1, 1).tril().sum(), lambda: w.masked_fill(w > 0, 0.0).sum(),
    ):  # fmt: skip
        step(model, each, torch.optim.SGD([w], 0.1))


def mixtures() -> None:
    """Types and layouts that trainings do not have."""
    torch.manual_seed(6)
    half, whole = torch.randn(6, 8).bfloat16(), torch.randn(6, 8)
    ints, mask = torch.arange(48).view(6, 8), torch.rand(6, 8) > 0.5
    for value in (
        half + whole, half * 2, ints + whole, ints * 0.5, ints // 3, mask + ints, mask & mask, half.float(),
        whole.to(torch.float64) + half, ints.float().mean(0), mask.any(1), half.sum(), half.t() @ half,
        whole[:, :4] + whole[:, 4:], whole[::2].exp(), whole[:1] - whole, ints.sum(0), whole > half,
        torch.maximum(whole, half.float()), whole.argmax(1), whole.max(0).values, half.to(torch.float16),
        whole.index_select(0, torch.tensor([1, 3, 3])), whole.gather(1, ints % 8),
        torch.baddbmm(torch.zeros(2, 3, 3), torch.ones(2, 3, 4), torch.ones(2, 4, 3), beta=0),
        torch.addmm(torch.zeros(8), half.t().float(), whole), torch.mv(whole, torch.ones(8)),
        whole.repeat(2, 1), torch.stack([whole, whole]), torch.bucketize(whole, torch.linspace(-1, 1, 9)),
        F.rms_norm(whole, (8,), torch.ones(8)), torch.logaddexp(whole, whole), whole.clone().zero_(),
        torch.zeros(5, 3), torch.full((4, 4), 2.0), torch.ones_like(whole), whole.clone().fill_(1.0),
    ):  # fmt: skip
        assert value is not None
