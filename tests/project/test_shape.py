"""One record an arrow, built once: who prices, who makes an Analysis or a Job; and nobody changes one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest

from tests.project.tree import MODULES, PACKAGE, Function, name_of, over_all, syntax
from traceanalyzer.records import Analysis, Job

# What a stage hands on, and the one module that makes it.
MADE_BY = {
    "Priced": ("cost/price",),
    "Judged": ("roofline/judge",),
    "Suggestions": ("fusion/suggestions",),
    "Analysis": ("assembly/assemble",),
    # Of an Analysis that is finished: the chosen one among several devices; and to be shown alone.
    "Job": ("ranks/job", "report/__init__", "report/json", "records/job"),
    "Job.of": ("ranks/job", "report/__init__", "report/json"),
}
# The registry is asked by one stage; `explain` works a formula through for its reader.
PRICING = ("cost/", "cli/explain")
# A copy of a finished Analysis is one for display, or of a saved report that is shown again.
COPIES = ("report/", "assembly/what_if")
# A script's own module object is no record of ours.
NAMESPACES = {"collect/script": "main.__dict__"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a module, by what is called."""
    return ((ast.unparse(n.func), n) for n in ast.walk(syntax(path)) if isinstance(n, ast.Call))


def modules_that_call(*names: str) -> set[str]:
    return {name_of(path) for path in MODULES for called, _ in calls(path) if called in names}


@pytest.mark.parametrize("record", MADE_BY)
def test_a_record_is_made_in_one_place(record: str) -> None:
    assert modules_that_call(record, f"records.{record}") <= set(MADE_BY[record])


@pytest.mark.parametrize("record", ["Priced", "Judged", "Suggestions", "Analysis"])
def test_that_place_does_make_it(record: str) -> None:
    assert modules_that_call(record) == set(MADE_BY[record])


@over_all([p for p in MODULES if not name_of(p).startswith(PRICING)], name_of)
def test_only_one_stage_asks_for_prices(path: Path) -> None:
    asked = [called for called, _ in calls(path) if called.endswith(".price")]
    named = {"price_call", "price_with", "formula_of"} & {called for called, _ in calls(path)}
    assert not asked and not named


def test_inside_cost_one_module_asks_too() -> None:
    asking = {name for name in modules_that_call("formulas.price") if name.startswith("cost/")}
    assert asking == {"cost/price", "cost/catalog"}, (
        "catalog: price_call, of one call, for whoever tries formulas"
    )


@over_all(MODULES, name_of)
def test_nothing_is_handed_round_the_arguments(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "contextvars" not in text and "ContextVar" not in text


def writes_to_namespaces(tree: ast.AST) -> Iterator[str]:
    """`x.__dict__[...] = y`, `vars(x)[...] = y`, `x.__dict__.update(...)`, `del x.__dict__[...]`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            target = node.value if isinstance(node, ast.Subscript) else node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            changing = {"update", "setdefault", "pop", "popitem", "clear", "__setitem__"}
            target = node.func.value if node.func.attr in changing else None
        else:
            continue
        text = ast.unparse(target) if target is not None else ""
        if text.endswith(".__dict__") or text.startswith("vars("):
            yield text


@over_all(MODULES, name_of)
def test_no_record_is_written_to_behind_its_back(path: Path) -> None:
    written = set(writes_to_namespaces(syntax(path)))
    assert written <= {NAMESPACES.get(name_of(path))}
    called = {called for called, _ in calls(path)}
    assert not {"object.__setattr__", "object.__delattr__", "msgspec.structs.force_setattr",
                "structs.force_setattr", "force_setattr"} & called  # fmt: skip


@cache
def frozen_fields() -> dict[str, set[str]]:
    """Records between the stages, and the names of their fields."""
    found = {}
    for path in (PACKAGE / "records").glob("*.py"):
        for node in syntax(path).body:
            if isinstance(node, ast.ClassDef) and "frozen=True" in ast.unparse(node).split(":\n")[0]:
                found[node.name] = {
                    n.target.id
                    for n in node.body
                    if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
                }
    return found


def test_records_are_frozen() -> None:
    """Every class of records/ with fields, but for errors, protocols and enumerations."""
    fielded = {
        node.name
        for path in (PACKAGE / "records").glob("*.py")
        for node in syntax(path).body
        if isinstance(node, ast.ClassDef) and any(isinstance(n, ast.AnnAssign) for n in node.body)
    }
    assert fielded <= set(frozen_fields())
    assert {"Analysis", "Job", "Trace", "Kernels", "Priced", "Judged", "Suggestions", "Notice"} <= fielded


@over_all(MODULES, name_of)
def test_columns_of_a_record_are_not_written_to(path: Path) -> None:
    """`trace.kernels.op[rows] = -1` would change what another stage was handed."""
    columns = set().union(*frozen_fields().values())
    stores = [
        ast.unparse(node)
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
        and isinstance(node.value, ast.Attribute) and node.value.attr in columns
        and ast.unparse(node.value.value) not in ("self", "args", "event", "sys")
    ]  # fmt: skip
    assert not stores


def of_an_analysis(call: ast.Call) -> bool:
    """Whether `replace(x, field=...)` could be of an Analysis, by the names of the fields."""
    names = {keyword.arg for keyword in call.keywords if keyword.arg}
    own = {field.name for field in msgspec.structs.fields(Job)}
    return bool(names) and names <= own


@over_all([p for p in MODULES if not name_of(p).startswith(COPIES)], name_of)
def test_an_analysis_is_not_patched(path: Path) -> None:
    patched = [
        ast.unparse(call)
        for called, call in calls(path)
        if called in ("msgspec.structs.replace", "structs.replace") and of_an_analysis(call)
    ]
    assert not patched


def test_a_stage_s_function_gets_all_it_needs() -> None:
    """No `global` and no module-level record that a stage fills in."""
    found = [name_of(p) for p in MODULES for n in ast.walk(syntax(p)) if isinstance(n, ast.Global)]
    assert not found


def test_an_analysis_cannot_be_changed() -> None:
    for record in (Analysis, Job):
        assert record.__struct_config__.frozen
    methods = [
        n.name for n in ast.walk(syntax(PACKAGE / "records" / "analysis.py")) if isinstance(n, Function)
    ]
    assert "updated" not in methods
