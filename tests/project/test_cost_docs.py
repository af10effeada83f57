"""Every formula tells what it counts, what it assumes and where that can be checked; the page shows all."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from traceanalyzer.cli import main
from traceanalyzer.cost import FORMULAS
from traceanalyzer.fusion.rules import RULES, Rule

DOCS = Path(__file__).parents[2] / "docs"


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", DOCS / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


def test_the_page_is_what_the_formulas_say() -> None:
    build = builder()
    assert (DOCS / "cost-model.md").read_text(encoding="utf-8") == build.page(), "run `make docs`"
    assert (DOCS / "rules.md").read_text(encoding="utf-8") == build.rules_page(), "run `make docs`"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_a_rule_leaves_out_is_held_by_tests_that_the_page_names(rule: Rule) -> None:
    tests = builder().tests_of_left_out(rule.name)
    module = importlib.import_module(f"tests.fusion.rules.test_{rule.name}")
    assert tests and all(callable(getattr(module, name)) for name in tests)
    (row,) = [line for line in page_of_rules() if line.startswith(f"| [{rule.name}]")]
    assert all(f"`{name}`" in row for name in tests)


def page_of_rules() -> list[str]:
    return (DOCS / "rules.md").read_text(encoding="utf-8").splitlines()


def test_every_formula_has_its_lines_and_a_source() -> None:
    for name, formula in FORMULAS.items():
        first, blank, *lines = inspect.cleandoc(formula.doc).splitlines()
        assert first and not blank and len(formula.source) > 8, name
        starts = [line for line in lines if line.startswith(("FLOPs =", "Bytes =", "Assumes"))]
        assert [line.partition(" ")[0] for line in starts] == ["FLOPs", "Bytes", "Assumes"], name
        assert lines[-1].endswith("."), f"an assumption of {name} is no sentence"


@pytest.mark.parametrize("name", ["aten::mm", "aten::_softmax", "user Triton kernel", "_C::rms_norm"])
def test_explain_shows_the_whole_docstring(name: str) -> None:
    said = CliRunner().invoke(main, ["explain", name]).stdout
    assert inspect.cleandoc(FORMULAS[name].doc) in said and FORMULAS[name].source in said
