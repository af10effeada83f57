"""One record an arrow, built once: who prices, who makes an Analysis or a Job; and nobody changes one."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import msgspec
import pytest

from tests.project.calls import calls, changed
from tests.project.tree import MODULES, PACKAGE, Function, name_of, over_all, syntax
from traceanalyzer.records import Analysis, Job

# What a stage hands on, and the one module that makes it.
MADE_BY = {
    "Priced": ("cost/price",),
    "Judged": ("roofline/judge",),
    "Suggestions": ("fusion/suggestions",),
    "Analysis": ("assembly/assemble",),
    # Of an Analysis that is finished: the chosen one among several devices; to be shown alone; and as a
    # run of a folder, which is said of it.
    "Job": ("ranks/job", "report/__init__", "report/json", "records/job"),
    "Job.of": ("ranks/job", "report/__init__", "report/json", "runs"),
}
# The registry is asked by one stage; `explain` works a formula through for its reader.
PRICING = ("cost/", "cli/explain")
PRICE = "traceanalyzer.cost.price.price"
# A copy of a finished Analysis is one for display, or of a saved report that is shown again.
COPIES = ("report/", "assembly/what_if")
REPLACING = ("msgspec.structs.replace", "copy.replace", "dataclasses.replace")
# Copies of other records, whose fields are called as those of an Analysis are.
OTHERS = (
    "replace(form, source=peer)", "replace(recorded, device=device)",
    "replace(form, ranks=self._once(form.ranks))",
)  # fmt: skip
# What a module may change through its attributes: what it has made itself and hands to nobody before it is
# finished, the counters of one reading, and Python's own. The collector patches what it records.
CHANGED = {
    "assembly/layer_names": {"at", "layer"}, "assembly/module_times": {"each", "module", "modules"},
    "cost/user": {"module", "sys"}, "__main__": {"sys"}, "cli/calibrate": {"os"}, "cli/verify": {"os"},
    "cli/lean": {"os"}, "device/calibrate": {"os"}, "fusion/module_compile": {"traffic"},
    "fusion/regions": {"home"}, "ranks/hta": {"analysis", "parsed"}, "ranks/hta_graph": {"step"},
    "trace/reading/blocks": {"stats"}, "trace/reading/events": {"event", "args"},
    "trace/reading/repair": {"stats", "event", "looking"}, "verify/optimizers": {"parameter"},
}  # fmt: skip
# Who sets attributes by name: of events as they are read, and of what a script imports.
BY_NAME = ("collect/", "trace/reading/events")


def made(tree: ast.Module) -> set[str]:
    """Records that a module makes, by whatever name it has imported them."""
    names = {called for called, _ in calls(tree)}
    return {record for record in MADE_BY for name in names if f".{name}".endswith(f".{record}")}


def prices(tree: ast.Module) -> set[str]:
    """How a module asks for prices: of a whole trace, or of a call."""
    of_a_call = ("price_call", "price_with", "formula_of")
    return {name for name, _ in calls(tree) if name.endswith((".price", *of_a_call))}


def patches(tree: ast.Module) -> list[str]:
    """Copies that could be of an Analysis: by the names of the fields, or because those are not named."""
    return [
        ast.unparse(call)
        for called, call in calls(tree)
        if called in REPLACING
        and (of_anything(call) or of_an_analysis(call))
        and ast.unparse(call) not in OTHERS
    ]


def of_an_analysis(call: ast.Call) -> bool:
    """Whether all the fields that are named are fields of an Analysis."""
    names = {keyword.arg for keyword in call.keywords if keyword.arg}
    return bool(names) and names <= {field.name for field in msgspec.structs.fields(Job)}


def of_anything(call: ast.Call) -> bool:
    """`replace(x, **changes)`, but for one of a record that is made on the spot."""
    return any(keyword.arg is None for keyword in call.keywords) and not isinstance(call.args[0], ast.Call)


def modules_that_make(record: str) -> set[str]:
    return {name_of(path) for path in MODULES if record in made(syntax(path))}


@pytest.mark.parametrize("record", MADE_BY)
def test_a_record_is_made_in_one_place(record: str) -> None:
    assert modules_that_make(record) <= set(MADE_BY[record])


@pytest.mark.parametrize("record", ["Priced", "Judged", "Suggestions", "Analysis"])
def test_that_place_does_make_it(record: str) -> None:
    assert modules_that_make(record) == set(MADE_BY[record])


@over_all([p for p in MODULES if not name_of(p).startswith((*PRICING, "pipeline"))], name_of)
def test_only_one_stage_asks_for_prices(path: Path) -> None:
    assert not prices(syntax(path))


def test_a_trace_is_priced_by_the_pipeline_alone() -> None:
    assert prices(syntax(PACKAGE / "pipeline.py")) == {PRICE}
    assert {name_of(path) for path in MODULES if PRICE in prices(syntax(path))} == {"pipeline"}


def test_inside_cost_one_module_asks_too() -> None:
    asking = {
        name_of(path) for path in (PACKAGE / "cost").rglob("*.py") if "formulas.price" in prices(syntax(path))
    }
    assert asking == {"cost/price", "cost/catalog"}, (
        "catalog: price_call, of one call, for whoever tries formulas"
    )


@over_all(MODULES, name_of)
def test_nothing_is_handed_round_the_arguments(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "contextvars" not in text and "ContextVar" not in text


@over_all(MODULES, name_of)
def test_no_record_is_written_to_behind_its_back(path: Path) -> None:
    called = {called.rpartition(".")[2] for called, _ in calls(syntax(path))}
    assert not {"__setattr__", "__delattr__", "force_setattr"} & called
    assert "setattr" not in called or name_of(path).startswith(BY_NAME)


@over_all([p for p in MODULES if not name_of(p).startswith("collect/")], name_of)
def test_what_another_has_made_is_not_changed(path: Path) -> None:
    """`trace.kernels.op[rows] = -1` would change what another stage was handed."""
    assert set(changed(syntax(path))) == CHANGED.get(name_of(path), set())


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


@over_all([p for p in MODULES if not name_of(p).startswith(COPIES)], name_of)
def test_an_analysis_is_not_patched(path: Path) -> None:
    assert not patches(syntax(path))


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


# Each line breaks the shape in a way of its own.
BAD = """
import msgspec
import dataclasses as d
import msgspec.structs as structs
from msgspec.structs import replace
from traceanalyzer.cost import price as pricing
from traceanalyzer.cost.price import price
from traceanalyzer.cost.price import price as priced_again
from traceanalyzer.records import Analysis as A, judged
from traceanalyzer.records.job import Job as J
make = A

def again(trace, analysis, graph, changes, formulas):
    price(trace), priced_again(trace), pricing.price(trace)
    formulas.price(trace.calls[0])
    A(**changes)
    make(**changes)
    judged.Judged(trace)
    J.of(analysis)
    replace(analysis, suggestions=())
    structs.replace(analysis, suggestions=())
    msgspec.structs.replace(analysis, **changes)
    d.replace(analysis, **changes)
    graph.memo["x"] = 1
    trace.kernels.op[0] += 1
    changes.calls[0].x.y = 2
    analysis.op_rows.sort()
    del formulas(trace).x["y"]
    vars(price)["z"] = 3
"""


def test_every_way_to_break_the_shape_is_seen() -> None:
    tree = ast.parse(BAD)
    assert prices(tree) == {PRICE, "formulas.price"}
    assert made(tree) == {"Analysis", "Judged", "Job.of"}
    assert len(patches(tree)) == 4
    assert sorted(changed(tree)) == [
        "analysis", "changes", "formulas(trace)", "graph", "trace", "vars(price)",
    ]  # fmt: skip
    called = [called for called, _ in calls(tree)]
    assert called.count(PRICE) == 3 and called.count("traceanalyzer.records.Analysis") == 2


GOOD = """
from msgspec.structs import replace
from traceanalyzer.roofline.thresholds import Thresholds
from traceanalyzer.formulas import Cost

class Rows:
    def add(self, row):
        self.rows[row.name] = row
        self.rows.update({})

def priced(chosen, call, text):
    replace(Thresholds(), **chosen)
    replace(call, list_dtype="fp32")
    rows = []
    rows.append(text.replace("a", "b"))
    return Cost(1, call.price, 2)
"""


def test_nothing_else_is_taken_for_it() -> None:
    tree = ast.parse(GOOD)
    assert not prices(tree) and not made(tree) and not patches(tree) and not set(changed(tree))
