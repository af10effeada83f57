"""What CONTRIBUTING.md says to list is listed: formula families, rules, formats, commands."""

from __future__ import annotations

from pathlib import Path

import traceanalyzer
from traceanalyzer.cli import COMMANDS
from traceanalyzer.cost import FORMULAS
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.report import RENDERERS
from traceanalyzer.report.comparisons import FORMATS

PACKAGE = Path(traceanalyzer.__file__).parent


def defining(folder: str, text: str) -> set[str]:
    """Modules of a package with this text at the start of a line."""
    files = (PACKAGE / folder).glob("*.py")
    return {p.stem for p in files if any(line.startswith(text) for line in p.read_text("utf-8").splitlines())}


def test_every_family_of_formulas_is_registered() -> None:
    registered = {formula.price.__module__.rpartition(".")[2] for formula in FORMULAS.values()}
    assert defining("cost/formulas", "@op_cost(") <= registered


def test_every_rule_claims_in_its_turn() -> None:
    assert {rule.name for rule in RULES} == defining("fusion/rules", "RULE = ")


def test_every_command_is_there() -> None:
    assert set(COMMANDS) == defining("cli", "@click.command(")


def test_every_renderer_has_a_format() -> None:
    renderers = defining("report", "def render(") - {"__init__", "comparisons"}  # which choose one
    of_comparisons = {name for name in renderers if name.startswith("diff_")}
    assert len(RENDERERS) == len(renderers - of_comparisons)
    assert len(FORMATS) == len(of_comparisons)
