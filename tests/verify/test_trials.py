"""`verify` end to end: a module in training is rebuilt, differentiated, compiled and timed for real."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import traceanalyzer
from traceanalyzer.cli import main


class Block(torch.nn.Module):
    """Convolution, batch norm and a skip connection, as in a residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)) + x)


@pytest.mark.slow
def test_a_residual_block_in_training_is_tried_forward_and_backward(tmp_path: Path) -> None:
    model, path = torch.nn.Sequential(Block(), Block()), tmp_path / "block.json.gz"
    with traceanalyzer.profile(path, wait=1, warmup=1, active=1, roofs=False, force=True) as profiler:
        for _ in range(6):
            model(torch.rand(16, 16, 32, 32)).sum().backward()
            profiler.step()
    said = CliRunner().invoke(main, ["verify", str(path), "batch_norm_activation"])
    assert said.exit_code == 0, said.output
    if "compiler" in said.stdout.lower():
        pytest.skip("no C++ compiler")
    (module,) = (line for line in said.stdout.splitlines() if line.startswith("the module "))
    assert module.endswith("operators, forward and backward"), said.stdout
    assert len([line for line in said.stdout.splitlines() if line.startswith("  after ")]) == 2
