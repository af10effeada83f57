"""No formula without an oracle: every one is set against numbers that it did not make itself."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from traceanalyzer.cost import FORMULAS
from traceanalyzer.cost.registry import USER_TRITON
from traceanalyzer.records.priced import Formula

HERE = Path(__file__).parent
SWEPT = frozenset((HERE / "swept_operators.txt").read_text(encoding="utf-8").split())
# What compares: torch's counter, live tensors, products by hand.
ORACLES = (
    "test_attention.py", "test_by_hand.py", "test_bytes_against_tensors.py", "test_conventions.py",
    "test_flops_against_torch.py", "test_packages.py", "test_triton.py",
    "../trace/test_indexed.py",
)  # fmt: skip
TEXTS = "\n".join((HERE / file).read_text(encoding="utf-8") for file in ORACLES)
NAMED = frozenset(re.findall(r"[\w:]+", TEXTS))


def by_function() -> dict[str, list[Formula]]:
    found: dict[str, list[Formula]] = {}
    for formula in FORMULAS.values():
        found.setdefault(f"{formula.price.__module__}.{formula.price.__name__}", []).append(formula)
    return found


def has_an_oracle(formula: Formula) -> bool:
    if formula.name == USER_TRITON:  # calls of it have names of their own
        return "triton=True" in TEXTS
    known = {*SWEPT, *NAMED, *(f"aten::{name}" for name in NAMED)}
    return any(fnmatchcase(name, formula.name) for name in known)


@pytest.mark.parametrize("function", by_function())
def test_every_formula_has_an_oracle(function: str) -> None:
    formulas = by_function()[function]
    prices_nothing = "FLOPs = not known" in formulas[0].doc and "Bytes = not known" in formulas[0].doc
    assert prices_nothing or any(map(has_an_oracle, formulas)), [f.name for f in formulas]
