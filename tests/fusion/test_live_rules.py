"""Rules that need to know who reads what, on steps that were run: where they apply, and where not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from msgspec.structs import replace
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tests.fusion.live import matches, recorded
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records import Peak

N = 64


def test_a_weight_that_is_cast_twice_is_cast_once_too_often(tmp_path: Path) -> None:
    weight, other, x = torch.rand(N, N), torch.rand(N, N), torch.rand(N, N).bfloat16()

    def step() -> object:
        return x @ weight.bfloat16(), x @ weight.bfloat16(), x @ other.bfloat16()

    (match,) = matches(recorded(step, tmp_path), "repeated_casts")
    assert len(match.nodes) == 1 and match.tier == "T1"
    assert match.bytes_saved == (4 + 2) * N * N, "one of three casts: fp32 is read, bf16 is written"


def test_a_tensor_that_changes_between_casts_is_another(tmp_path: Path) -> None:
    weight = torch.rand(N, N)

    def step() -> object:
        first = weight.bfloat16()
        weight.mul_(0.5)
        return first, weight.bfloat16()

    assert not matches(recorded(step, tmp_path), "repeated_casts")


def test_parts_of_one_tensor_are_several(tmp_path: Path) -> None:
    x, weight = torch.rand(N, N), torch.rand(N, 3 * N)
    graph = recorded(lambda: [each.bfloat16() for each in (x @ weight).chunk(3, -1)], tmp_path)
    assert not matches(graph, "repeated_casts")


def test_weights_that_one_operator_wrote_are_several(tmp_path: Path) -> None:
    weights = [nn.Parameter(torch.rand(N, N)) for _ in range(4)]
    optimizer = torch.optim.AdamW(weights, fused=True)

    def step() -> object:
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
        return [weight.detach().bfloat16() for weight in weights]

    assert not matches(recorded(step, tmp_path), "repeated_casts")


def slow_products(graph: StepGraph) -> StepGraph:
    """On a device whose peaks no product comes near."""
    peaks = tuple(Peak(engine, "fp32", 1e18) for engine in ("vector", "matrix"))
    device = msgspec.structs.replace(graph.device, kind="cpu", bandwidth_bytes_per_s=1e15, peaks=peaks)
    return replace(graph, judged=replace(graph.judged, device=device))


def three_products(h: torch.Tensor, weights: list[torch.Tensor]) -> object:
    return [h @ weight for weight in weights]


@pytest.mark.parametrize("grad", [True, False])
def test_products_of_one_tensor_are_one(tmp_path: Path, grad: bool) -> None:
    x, weights = torch.rand(N, N), [torch.rand(N, N, requires_grad=grad) for _ in range(3)]
    graph = recorded(lambda: three_products(x.exp(), weights), tmp_path)
    (match,) = matches(slow_products(graph), "merged_linear")
    assert len(match.nodes) == 3 and match.tier == "T1"
    assert match.bytes_saved == 2 * 4 * N * N, "the input is read once instead of three times"


def test_products_of_parts_are_several(tmp_path: Path) -> None:
    x, weights = torch.rand(3 * N, N), [torch.rand(N, N) for _ in range(3)]

    def step() -> object:
        return [part @ weight for part, weight in zip(x.exp().chunk(3), weights, strict=True)]

    assert not matches(slow_products(recorded(step, tmp_path)), "merged_linear")


def accumulated(batches: int, zeros: bool) -> Callable[[], object]:
    layer, x = nn.Linear(N, N, bias=False), torch.rand(4, N)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    def step() -> None:
        for _ in range(batches):
            layer(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=not zeros)

    return step


def test_gradients_of_micro_batches_are_added(tmp_path: Path) -> None:
    (match,) = matches(recorded(accumulated(3, zeros=False), tmp_path), "gradient_accumulation")
    assert len(match.nodes) == 2, "all but the first of three"
    assert match.bytes_saved == 2 * 3 * 4 * N * N
    assert match.tier == "T3", "where memory is short nothing is to be saved"


@pytest.mark.parametrize("batches, zeros", [(1, False), (1, True)])
def test_one_batch_accumulates_nothing(tmp_path: Path, batches: int, zeros: bool) -> None:
    graph = recorded(accumulated(batches, zeros), tmp_path)
    assert not matches(graph, "gradient_accumulation")
    assert bool(matches(graph, "zero_grad")) is zeros


def checkpointed(again: bool) -> Callable[[], object]:
    layers = nn.Sequential(nn.Linear(N, 4 * N), nn.GELU(), nn.Linear(4 * N, N))
    x = torch.rand(16_384, N, requires_grad=True)

    def step() -> None:
        y = checkpoint(layers, x, use_reentrant=False) if again else layers(x)
        assert y is not None
        y.sum().backward()
        layers.zero_grad()

    return step


def test_a_checkpointed_forward_pass_has_its_price(tmp_path: Path) -> None:
    (match,) = matches(recorded(checkpointed(True), tmp_path), "recomputation")
    assert match.saved is not None and 0 < match.saved.low < match.saved.high
    assert "run again in the backward pass" in match.evidence
    assert not matches(recorded(checkpointed(False), tmp_path), "recomputation")


def test_a_bias_belongs_to_its_product(tmp_path: Path) -> None:
    x, weight, bias = torch.rand(8, N), torch.rand(N, N), torch.rand(N)
    (match,) = matches(recorded(lambda: x @ weight + bias, tmp_path), "bias_addition")
    assert match.tier == "T1" and match.bytes_saved == 4 * (2 * 8 * N + N)
    assert match.saved is not None and 0 < match.saved.low < match.saved.high <= match.nodes[0].time_ns


@pytest.mark.parametrize("step", [
    lambda x, w, b: F.linear(x, w, b),   # given to the product already
    lambda x, w, b: x @ w + x,           # a residual
    lambda x, w, b: (x * 2 + b) @ w,     # before the product
    lambda x, w, b: ((y := x @ w) + b) * y,                   # the product is needed without it too
    lambda x, w, b: torch.bmm(x[None], w[None]) + b,          # no kernel for batches adds a vector
], ids=["linear", "residual", "before", "twice", "batched"])  # fmt: skip
def test_what_is_no_bias_of_a_product_is_left(tmp_path: Path, step: Callable[..., object]) -> None:
    x, w, b = torch.rand(N, N), torch.rand(N, N), torch.rand(N)
    assert not matches(recorded(lambda: step(x, w, b), tmp_path), "bias_addition")


def test_a_closure_that_a_step_calls_is_not_the_optimizers(tmp_path: Path) -> None:
    """Both passes run inside of `Optimizer.step#AdamW.step`, as with Lightning's automatic optimization."""
    layers, x = nn.Sequential(nn.Linear(N, N), nn.ReLU(), nn.Linear(N, N)), torch.rand(256, N)
    optimizer = torch.optim.AdamW(layers.parameters(), foreach=False)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = layers(x).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def step() -> object:
        return optimizer.step(closure)  # type: ignore[arg-type]

    (match,) = matches(recorded(step, tmp_path), "fused_optimizer")
    names = {node.name for node in match.nodes}
    assert {"lerp", "addcmul", "addcdiv"} <= names, "the optimizer's own"
    assert names.isdisjoint(("addmm", "mm", "relu", "threshold_backward", "pow", "mean", "sum", "ones_like"))
    assert match.between is None and all(node.phase == "optimizer" for node in match.nodes)
