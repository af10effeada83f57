"""`verify` end to end: a module in training is rebuilt, differentiated, compiled and timed for real."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import traceanalyzer
from traceanalyzer.cli import main
from traceanalyzer.report.context import suggestion_texts


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
    (module,) = (line for line in said.stdout.splitlines() if line.startswith("its module "))
    assert module.endswith("operators, forward and backward"), said.stdout
    assert len([line for line in said.stdout.splitlines() if line.startswith("  after ")]) == 2


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.slow
def test_what_the_report_promises_is_told_by_the_same_digits_and_what_is_tried_before_it_is(
    tmp_path: Path,
) -> None:
    model, path = torch.nn.Linear(512, 512), tmp_path / "adam.json.gz"
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    with traceanalyzer.profile(path, wait=1, warmup=1, active=2, roofs=False, force=True) as profiler:
        for _ in range(6):
            model(torch.rand(4, 512)).sum().backward()
            optimizer.step()
            profiler.step()
    said = CliRunner().invoke(main, ["verify", str(path), "fused_optimizer"])
    assert said.exit_code == 0, said.output
    assert "op by op and by fused=True" in words(said.stderr)
    assert "runs each way" in words(said.stderr) and "at the recording's speed" in words(said.stderr)
    assert all(len(line) <= 80 for line in said.stdout.splitlines())
    (told,) = (
        each for each in suggestion_texts(traceanalyzer.analyze(path)) or () if each.rule == "fused_optimizer"
    )
    assert words(f"the report {told.saving}: 1 place in optimizer AdamW") in words(said.stdout)
