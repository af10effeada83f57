"""Names of 0.1 keep working, and say with a DeprecationWarning what they are called now."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import traceanalyzer
from traceanalyzer import formulas
from traceanalyzer.cost import user

FORMULA = '''
import traceanalyzer
from traceanalyzer.formulas import Cost


@traceanalyzer.op_cost("{name}")
def mine(call):
    """y = f(x)

    FLOPs = 3
    Bytes = 4 read, 5 written
    Assumes nothing.
    """
    return Cost(3, 4, 5)
'''


def test_costs_is_formulas() -> None:
    sys.modules.pop("traceanalyzer.costs", None)
    with pytest.warns(DeprecationWarning, match="traceanalyzer.formulas") as warned:
        older = importlib.import_module("traceanalyzer.costs")
    assert len(warned) == 1
    assert older.__all__ == formulas.__all__
    assert all(getattr(older, name) is getattr(formulas, name) for name in formulas.__all__)


@pytest.mark.parametrize(
    ("name", "now"), [("Options", traceanalyzer.AnalyzeOptions), ("analyze", traceanalyzer.analyze)]
)
def test_the_module_analyze_has_its_names(name: str, now: object) -> None:
    module = sys.modules["traceanalyzer.analyze"]
    with pytest.warns(DeprecationWarning, match=r"traceanalyzer\.(AnalyzeOptions|analyze) now") as warned:
        assert getattr(module, name) is now
    assert warned[0].filename == __file__
    with pytest.raises(AttributeError, match="nothing"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("program", "warnings"),
    [
        ("from traceanalyzer.analyze import Options; print(Options().steps)", 1),
        ("import traceanalyzer; print(traceanalyzer.analyze.__name__)", 0),
        ("import traceanalyzer.analyze; print(traceanalyzer.analyze.__name__)", 0),
        ("from traceanalyzer import analyze; print(analyze.__name__)", 0),
        ("from traceanalyzer.costs import Cost; print(Cost.__name__)", 1),
        ("from traceanalyzer.formulas import Cost; print(Cost.__name__)", 0),
    ],
)
def test_only_older_names_warn(program: str, warnings: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("complete", "analyze", "Cost")
    assert done.stderr.count("DeprecationWarning") == warnings, done.stderr
    assert done.stderr.count("<string>:1") == warnings, "the warning names the user's own line"


class Entry:
    def __init__(self, group: str, value: str) -> None:
        self.group, self.value = group, value

    def load(self) -> None:
        exec(FORMULA.format(name=self.value.replace(":", "::")), {})


def offered(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [e for e in entries if e.group == group]
    )


def test_entry_points_of_the_older_group_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, Entry("traceanalyzer.costs", "older:op"))
    with pytest.warns(DeprecationWarning, match=r"older:op.*traceanalyzer\.formulas"):
        found = user.user_formulas([])
    assert found.catalog().of("older::op") is not None and not found.notices


def test_a_package_in_both_groups_is_loaded_once_and_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    both = [Entry(group, "both:op") for group in user.GROUPS]
    offered(monkeypatch, *both)
    assert user.user_formulas([]).catalog().of("both::op") is not None
    assert not [w for w in recwarn if issubclass(w.category, DeprecationWarning)]


def test_the_packages_own_code_uses_no_older_name() -> None:
    program = "import traceanalyzer.cli, traceanalyzer.cli.report, traceanalyzer as t\n"
    program += "from pathlib import Path\n"
    sample = Path(__file__).parents[2] / "sample_traces" / "gpt_eager_cpu.json.gz"
    program += f"t.analyze({str(sample)!r}).to_html()\n"
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:traceanalyzer", "-c", program],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
