"""Every formula tells what it counts, what it assumes and where that can be checked; the page shows all."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

import pytest
from click.testing import CliRunner

from traceanalyzer.cli import main
from traceanalyzer.cost import FORMULAS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_formulas_say() -> None:
    spec = importlib.util.spec_from_file_location("build", DOCS / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert (DOCS / "cost-model.md").read_text(encoding="utf-8") == build.page(), "run `make docs`"
    assert (DOCS / "rules.md").read_text(encoding="utf-8") == build.rules_page(), "run `make docs`"


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_has_its_lines_and_a_source(name: str) -> None:
    formula = FORMULAS[name]
    first, blank, *lines = inspect.cleandoc(formula.doc).splitlines()
    assert first and not blank and len(formula.source) > 8
    starts = [line for line in lines if line.startswith(("FLOPs =", "Bytes =", "Assumes"))]
    assert [line.partition(" ")[0] for line in starts] == ["FLOPs", "Bytes", "Assumes"]
    assert lines[-1].endswith("."), "an assumption is a sentence"


@pytest.mark.parametrize("name", ["aten::mm", "aten::_softmax", "user Triton kernel", "_C::rms_norm"])
def test_explain_shows_the_whole_docstring(name: str) -> None:
    said = CliRunner().invoke(main, ["explain", name]).stdout
    assert inspect.cleandoc(FORMULAS[name].doc) in said and FORMULAS[name].source in said
