"""The examples of CONTRIBUTING.md do what it says: a device, a formula, a rule, a format, a command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner

from tests.cost.calls import call_of
from tests.report.example import example_analysis
from traceanalyzer import __version__
from traceanalyzer.cost.registry import FORMULAS, price_with
from traceanalyzer.device.options import from_file
from traceanalyzer.fusion import rules, suggestions

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")


def example(heading: str, language: str, number: int = 0) -> str:
    """The text of one block under a heading."""
    part = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return str(re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)[number])


def run(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(text, "CONTRIBUTING.md", "exec", dont_inherit=True), names)
    return names


@pytest.fixture
def gate() -> Iterator[None]:
    run(example("Add a formula", "python"))
    yield
    del FORMULAS["mylib::gate"]


def test_the_device_is_one_of_a_device_file(tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(example("Add a device", "toml"), "utf-8")
    device = from_file(str(file))
    assert device.bandwidth_bytes_per_s == 2e12
    assert {(peak.engine, peak.precision) for peak in device.peaks} >= {
        ("vector", "fp32"),
        ("matrix", "bf16"),
    }


def test_the_formula_gives_what_its_line_of_cases_says(gate: None) -> None:
    line = example("Add a formula", "python", 1)
    name, arguments, *counts = eval(line, {"t": lambda *dims: torch.empty(dims)})
    cost = price_with(FORMULAS[name], call_of(name, *arguments))
    assert [cost.flops, cost.read_bytes, cost.write_bytes] == counts  # type: ignore[union-attr]


def test_the_rule_passes_its_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = run(example("Add a rule", "python"))["RULE"]
    assert all(rule.part(heading) for heading in ("Seen", "Instead", "Saves", "When not", "Left out"))
    monkeypatch.setattr(suggestions, "RULES", (rule, *rules.RULES))
    text = example("Add a rule", "python", 1)
    names = run(text)
    tests = [each.name for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)]
    assert len(tests) == 2
    for test in tests:
        names[test]()


def test_the_format_adds_up() -> None:
    analysis = example_analysis()
    text = run(example("Add a report format", "python"))["render"](analysis)
    times = [int(line.split("\t")[1]) for line in text.splitlines()]
    assert times == [row.attributed_ns for row in analysis.op_rows]


def test_the_command_prints() -> None:
    command = run(example("Add a command", "python"))["command"]
    assert isinstance(command, click.Command)
    assert CliRunner().invoke(command).output == f"{__version__}\n"
