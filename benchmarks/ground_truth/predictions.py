"""Predicted against measured savings on this device: regions, and whole steps with a suggestion followed.

The regions are those of benchmarks/regions.py, each in four sizes. The whole steps are written out here, as
they are and as a suggestion has them. Both lists stood here before any of them was measured on a GPU.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import Section, saved
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
import regions as listed

import traceanalyzer
from traceanalyzer.fusion.savings import added
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import step_graph_of
from traceanalyzer.records import Band, Device
from traceanalyzer.records.errors import TraceAnalyzerError
from traceanalyzer.verify.verify import trial_of, verified

Step = Callable[[], object]
REGIONS = (
    listed.rms_norm, listed.residual_layer_norm, listed.gated, listed.rotary, listed.masked_softmax,
    listed.attention, listed.adamw, listed.gelu_by_hand, listed.swish_backward, listed.cross_entropy,
    listed.modulated_norm, listed.norm_backward,
)  # fmt: skip
SIZES = {"256 MiB": 1 << 26, "64 MiB": 1 << 24, "1 GiB": 1 << 28, "16 MiB": 1 << 22}  # fp32 elements
REHEARSED = {"256 KiB": 1 << 16}
REGIONS_SHARE = 0.4  # of the time, that whole steps leave


@dataclass(frozen=True, slots=True)
class Whole:
    """A step as it is (False) and as the suggestions of some rules have it (True), in one of four sizes."""

    name: str
    rules: tuple[str, ...]
    build: Callable[[int, bool, str], Step]


def trained(model: Any, data: tuple[torch.Tensor, ...], optimizer: torch.optim.Optimizer) -> Step:
    def step() -> None:
        model(*data).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def layers_last(size: int, followed: bool, device: str) -> Step:
    """Convolutions in half precision, whose images lie channel by channel or pixel by pixel."""
    channels = 32 * size
    layers = [nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(4)]
    model, x = nn.Sequential(*layers).to(device).bfloat16(), torch.rand(8, channels, 32, 32, device=device)
    layout = torch.channels_last if followed else torch.contiguous_format
    model.to(memory_format=layout)  # type: ignore[call-overload]
    x = x.bfloat16().to(memory_format=layout)
    return trained(model, (x,), torch.optim.SGD(model.parameters(), 0.01))


def graphs(size: int, followed: bool, device: str) -> Step:
    """Many small layers: the host is slower than the device until it launches a graph."""
    layers = [nn.Sequential(nn.Linear(64 * size, 64 * size), nn.GELU()) for _ in range(24)]
    model: Any = nn.Sequential(*layers).to(device)
    x = torch.rand(16, 64 * size, device=device)
    if followed:
        model = torch.compile(model, mode="reduce-overhead")

    def step() -> None:
        with torch.no_grad():
            model(x)

    return step


def fused_steps(size: int, followed: bool, device: str) -> Step:
    model = nn.Sequential(*(nn.Linear(512 * size, 512 * size) for _ in range(8))).to(device)
    x = torch.rand(64, 512 * size, device=device)
    return trained(model, (x,), torch.optim.AdamW(model.parameters(), fused=followed, foreach=not followed))


class Norm(nn.Module):
    def __init__(self, width: int, followed: bool) -> None:
        super().__init__()
        self.weight, self.followed = nn.Parameter(torch.ones(width)), followed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.followed:
            return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def norms(size: int, followed: bool, device: str) -> Step:
    model = nn.Sequential(*(Norm(1024, followed) for _ in range(8))).to(device).bfloat16()
    x = torch.rand(4096 * size, 1024, device=device).bfloat16()

    def step() -> None:
        with torch.no_grad():
            model(x)

    return step


def attention(size: int, followed: bool, device: str) -> Step:
    q, k, v = (torch.rand(8, 16, 512 * size, 64, device=device).bfloat16().requires_grad_() for _ in range(3))

    def step() -> None:
        if followed:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q @ k.transpose(-2, -1) / 8).softmax(-1) @ v
        y.sum().backward()
        q.grad = k.grad = v.grad = None

    return step


WHOLE = (
    Whole("attention", ("unfused_attention",), attention),
    Whole("RMSNorm", ("rms_norm",), norms),
    Whole("AdamW", ("fused_optimizer",), fused_steps),
    Whole("channels last", ("channels_last", "layout_copies"), layers_last),
    Whole("graphs", ("launch_bound",), graphs),
)


def step_ms(step: Step, device: str, turns: int = 15) -> float:
    for _ in range(5):
        step()
    spans = []
    for _ in range(turns):
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        spans.append(1000 * (time.perf_counter() - begin))
    return median(spans)


def recorded(step: Step, path: Path) -> Any:
    with traceanalyzer.profile(path, wait=2, warmup=2, active=2, roofs=False, force=True) as profiler:
        for _ in range(9):
            step()
            profiler.step()
    return step_graph_of(path, AnalyzeOptions())


def of_whole(one: Whole, size: int, device: str, path: Path) -> dict[str, Any]:
    graph = recorded(one.build(size, False, device), path)
    told = [
        each for each in suggestions(graph).found or () if each.rule in one.rules and each.saving_per_step_ns
    ]
    before, after = (step_ms(one.build(size, followed, device), device) for followed in (False, True))
    bands = [each.saving_per_step_ns for each in told if each.saving_per_step_ns]
    return {
        "name": one.name, "size": size, "rules": [t.rule for t in told], "tiers": [t.tier for t in told],
        "before_ms": before, "after_ms": after, "promised_ms": in_ms(added(bands)) if told else None,
    }  # fmt: skip


def in_ms(band: Band | None) -> dict[str, float] | None:
    return {end: getattr(band, end) / 1e6 for end in ("low", "mid", "high")} if band else None


def of_region(
    pattern: Any, name: str, count: int, here: Device, floor_ns: float, path: Path
) -> dict[str, Any]:
    from savings import largest

    graph = recorded(pattern(count), path)
    place = largest(graph)
    if place is None:
        return {"name": pattern.__name__, "size": name, "rule": None}
    rule, match = place
    found = verified(trial_of(graph, rule, match, "cuda" if here.kind == "gpu" else "cpu"), here, floor_ns)
    return {
        "name": pattern.__name__, "size": name, "rule": found.rule, "before_ms": found.timed.eager_ns / 1e6,
        "after_ms": found.timed.replacement_ns / 1e6,
        "promised_ms": in_ms(found.band),
    }  # fmt: skip


def whole_steps(section: Section, device: str, path: Path) -> None:
    """Each once before any of them in a second size."""
    found: list[dict[str, Any]] = []
    for size in (1,) if section.dry else (2, 8, 1, 4):
        for one in WHOLE:
            if section.left_s(600) < REGIONS_SHARE * section.granted_s:
                return
            try:
                found.append(of_whole(one, size, device, path))
            except (RuntimeError, TraceAnalyzerError) as error:
                found.append({"name": one.name, "size": size, "failed": str(error)[:300]})
            saved(section, "whole", found)


def regions(section: Section, path: Path) -> None:
    """The same; the small ones last, for they fit into the cache."""
    from traceanalyzer.cli.verify import _this_machine

    here, floor_ns = _this_machine()
    found: list[dict[str, Any]] = []
    for name, count in REHEARSED.items() if section.dry else SIZES.items():
        for pattern in REGIONS[:2] if section.dry else REGIONS:
            if section.over:
                return
            try:
                found.append(of_region(pattern, name, count, here, floor_ns, path))
            except (RuntimeError, TraceAnalyzerError) as error:
                found.append({"name": pattern.__name__, "size": name, "failed": str(error)[:300]})
            saved(section, "regions", found)


def main(section: Section) -> None:
    device = "cpu" if section.dry else "cuda"
    path = section.folder / "step.json.gz"
    whole_steps(section, device, path)
    torch.set_default_device(device)
    regions(section, path)


if __name__ == "__main__":
    main(Section.from_arguments())
