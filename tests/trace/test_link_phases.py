"""Phases by hand, and held against what torch itself ran: ranges opened round the parts of a step."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.checkpoint import checkpoint

from tests.trace.build import Rows, name_of
from traceanalyzer.records.trace import PHASES, OpKind, Trace
from traceanalyzer.trace import load

NODE = re.compile(r"Backward\d*$|AccumulateGrad$")


def phases(trace: Trace) -> dict[str, str | None]:
    ops = trace.ops
    return {name_of(trace, i): PHASES[p] if p >= 0 else None for i, p in enumerate(ops.phase.tolist())}


def test_without_backward_and_optimizer_nothing_is_called_forward() -> None:
    rows = Rows()
    rows.numbered("aten::mm", 0, 10, 5)
    assert phases(rows.trace()) == {"aten::mm": None}


def test_a_step_in_its_parts() -> None:
    rows = Rows()
    rows.op("aten::before", 0, 10)
    rows.annotation("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", 20, 90)
    rows.numbered("aten::stack", 30, 40, 5)
    rows.numbered("aten::linear", 100, 200, 5)
    rows.op("aten::expand", 110, 120)
    rows.op("aten::no_grad_part", 210, 220)
    rows.node("AddmmBackward0", 300, 400, 5)
    rows.op("aten::mm", 310, 390, thread=1)
    rows.op("aten::between_nodes", 450, 460, thread=1)
    rows.op("aten::clip", 500, 510)
    rows.annotation("Optimizer.step#SGD.step", 600, 700)
    rows.op("aten::_foreach_add_", 610, 690)
    rows.annotation("Optimizer.zero_grad#SGD.zero_grad", 700, 800)
    rows.op("aten::zero_", 710, 790)
    found = phases(rows.trace())
    assert [found[f"aten::{n}"] for n in ("linear", "expand", "no_grad_part")] == ["forward"] * 3
    assert [found[n] for n in ("AddmmBackward0", "aten::mm", "aten::between_nodes")] == ["backward"] * 3
    assert [found[f"aten::{n}"] for n in ("_foreach_add_", "zero_")] == ["optimizer"] * 2
    assert [found[f"aten::{n}"] for n in ("before", "stack", "clip")] == [None] * 3


def test_where_nothing_is_numbered_the_rest_is_forward() -> None:
    rows = Rows()
    rows.op("aten::linear", 0, 10)
    rows.node("AddmmBackward0", 20, 30)
    rows.annotation("Optimizer.step#SGD.step", 40, 60)
    rows.op("aten::add_", 45, 50)
    found = phases(rows.trace())
    assert (found["aten::linear"], found["AddmmBackward0"], found["aten::add_"]) == (
        "forward", "backward", "optimizer",
    )  # fmt: skip


def test_modules_are_handed_down_and_over_to_the_backward() -> None:
    rows = Rows()
    rows.numbered("aten::linear", 0, 100, 5, module="model.fc")
    rows.numbered("aten::addmm", 10, 90, 6)
    rows.op("aten::other", 100, 110)
    rows.node("AddmmBackward0", 200, 300, 6)
    rows.op("aten::mm", 210, 250, thread=1)
    trace = rows.trace()
    module = {name_of(trace, i): m for i, m in enumerate(trace.ops.module.tolist())}
    named = {name for name, m in module.items() if m >= 0 and trace.names[m] == "model.fc"}
    assert named == {
        "aten::linear", "aten::addmm", "autograd::engine::evaluate_function: AddmmBackward0",
        "AddmmBackward0", "aten::mm",
    }  # fmt: skip
    assert module["aten::other"] == -1


class Net(nn.Module):
    """Opens a range round its forward, and one round the part that may be checkpointed."""

    def __init__(self, part: Callable[..., torch.Tensor] | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        self.middle = nn.Sequential(nn.Linear(392, 16), nn.Dropout(0.1), nn.GELU(), nn.LayerNorm(16))
        self.head = nn.Linear(16, 4)
        self.part = part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with record_function("FORWARD"):
            x = self.stem(x)
            x = self.part(self.inner, x) if self.part else self.inner(x)
            return self.head(x)

    def inner(self, x: torch.Tensor) -> torch.Tensor:
        with record_function("PART"):
            return self.middle(x)


def recorded(path: Path, step: Callable[[], object], times: int = 2) -> Trace:
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for _ in range(times):
            step()
    profiler.export_chrome_trace(str(path))
    return load(str(path))


def under(trace: Trace, row: int, test: Callable[[str], bool]) -> bool:
    while row >= 0:
        if test(name_of(trace, row)):
            return True
        row = int(trace.ops.parent[row])
    return False


def checked(trace: Trace) -> dict[str, int]:
    """Every op against the ranges it is in; how many of each phase there are."""
    ops = trace.ops
    counts = dict.fromkeys((*PHASES, "null"), 0)
    for row in range(len(ops)):
        if ops.kind[row] == OpKind.ANNOTATION:
            continue
        phase = PHASES[ops.phase[row]] if ops.phase[row] >= 0 else "null"
        counts[phase] += 1
        node = ops.kind[row] == OpKind.AUTOGRAD
        in_node = under(trace, row, lambda name: bool(NODE.search(name)))
        in_part = under(trace, row, lambda name: name in ("PART", "FORWARD"))
        if node:
            assert phase == "backward"
        elif in_node and in_part:
            assert phase == "recompute", name_of(trace, row)
        elif in_node:
            assert phase == "backward", name_of(trace, row)
        elif in_part:
            assert phase == "forward", name_of(trace, row)
        elif under(trace, row, lambda name: name.startswith("Optimizer.")):
            assert phase == "optimizer", name_of(trace, row)
        else:
            assert phase in ("forward", "null"), name_of(trace, row)
    return counts


@pytest.mark.parametrize("how", ["none", "reentrant", "not reentrant"])
def test_phases_are_those_of_the_ranges_that_torch_ran(tmp_path: Path, how: str) -> None:
    def part(function: Callable[..., torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        kept: torch.Tensor = checkpoint(function, x, use_reentrant=how == "reentrant")
        return kept

    torch.manual_seed(0)
    net = Net(None if how == "none" else part)
    optimizer = torch.optim.AdamW(net.parameters())

    def step() -> None:
        net(torch.randn(2, 3, 16, 16)).square().mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    counts = checked(recorded(tmp_path / "t.json", step))
    assert all(counts[phase] > 20 for phase in ("forward", "backward", "optimizer", "null"))
    assert (counts["recompute"] > 20) == (how != "none")


def test_differentiating_twice_is_not_recomputing(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))

    def step() -> None:
        x = torch.randn(4, 8, requires_grad=True)
        y = net(x).sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        (slope.square().sum() + y).backward()

    assert checked(recorded(tmp_path / "t.json", step))["recompute"] == 0


def test_a_closure_runs_its_forward_inside_the_optimizers_range(tmp_path: Path) -> None:
    net = Net()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=2)
    x = torch.randn(2, 3, 16, 16)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        return loss

    def numbered(trace: Trace) -> list[str]:
        """Phases of the ops in the closure's forward that have a backward."""
        ops = trace.ops
        return [
            PHASES[ops.phase[row]] for row in range(len(ops))
            if ops.kind[row] != OpKind.ANNOTATION and name_of(trace, row) in ("aten::linear", "aten::conv2d")
            and under(trace, row, lambda name: name == "FORWARD")
        ]  # fmt: skip

    found = numbered(recorded(tmp_path / "t.json", lambda: optimizer.step(closure), times=1))
    assert found and set(found) == {"forward"}


def test_inference_has_no_phases(tmp_path: Path) -> None:
    net = Net().eval()
    with torch.no_grad():
        trace = recorded(tmp_path / "t.json", lambda: net(torch.randn(2, 3, 16, 16)))
    assert set(trace.ops.phase.tolist()) == {-1}
