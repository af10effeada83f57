"""Imports run left to right and never back, and heavy packages stay where they are needed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.project.imports import NAMES, Import, Unreadable, cycle, graph, imports, inner
from tests.project.tree import MODULES, PACKAGE, name_of, over_all, syntax

ALLOWED = {  # not listed: those of FREE, which may import everything
    "files": "",
    "machine": "",
    "options": "records",
    "costs": "formulas",
    "startup": "",
    "records": "",
    "trace": "records",
    "inference": "records trace",
    "cost": "records inference",
    "formulas": "records cost",
    "device": "records machine",
    "roofline": "records cost device",
    "fusion": "records inference cost roofline",
    "assembly": "records cost device roofline",
    "report": "records files",
    "comparison": "records",
    "annotate": "records trace",
    "verify": "records cost fusion",
    "collect": "records files startup machine device",
    "ranks": "machine records trace",
}
FREE = {
    "pipeline", "analyzing", "comparing", "runs", "gate", "analyze", "testing", "cli", "ci", "__init__",
    "__main__",
}  # fmt: skip

# Inside a package, from left to right: each part imports only those before it.
PACKAGES = {
    "trace": "reading linking __init__",
    "inference": "__init__ align_steps call_sites output_shapes index_sizes list_dtypes one_tensor batches "
    "complete kernel_dtypes kernel_sequences borrowed_shapes",
    "cost": "registry tensors masks kernel_names views classes cpu_work fusible formulas catalog __init__ "
    "user price",
    "device": "table typical stand_ins names architecture derive nearest toml match options resolve __init__ "
    "calibrate_cases calibrate_rates calibrate calibrate_gpu",
    "roofline": "__init__ memory_levels thresholds attribution intervals floor launching host_names "
    "host_work idle step_times timeline step_kinds occupancy precision verdicts invocations call_kernels "
    "work_times measure row_keys traffic rows counts judge record_costs far_below",
    "fusion": "__init__ step_ops stretch evidence step_graph host_pace pages code_places module_names "
    "host_remedies idle_claims regions savings rules alike promise slower_compiled module_compile "
    "cost_to_try checks headroom peak_memory step_words trial suggestions place_promise each_kind",
    "comparison": "__init__ apportion names noise sides became matching drift same_work conditions culprits "
    "one_program sentence assemble expressions side_values requirements",
    "annotate": "__init__ counters texts splice copy",
    "ranks": "__init__ resources progress leading results worker pool cluster calls matching clocks stages "
    "waits usual late straggler job_info job hta_frame hta hta_graph longest_path critical_path exporter",
    "ci": "__init__ api threads sticky workflow comment job required __main__",
    "assembly": "__init__ totals self_check provenance roof_notices utilization layer_names module_times "
    "function_times row_places wait_places wait_times what_if_rows what_if_notices what_if annotations "
    "activity rank_work memory_use assemble",
}

ONLY = {
    "torch": ("collect/", "device/calibrate", "verify/"),
    "transformers": ("collect/huggingface",),
    "lightning": ("collect/lightning",),
    "dask": ("ranks/",),
    "distributed": ("ranks/",),
    "hta": ("ranks/",),
    "traceinsight": ("ranks/",),
    "fsspec": ("trace/reading/remote",),
    "jinja2": ("report/",),
    "markupsafe": ("report/",),
    "rich": ("report/terminal", "report/diff_terminal", "cli/"),
    "click": ("cli/",),
    "difflib": ("records/spelling",),
    "pandas": ("records/analysis", "ranks/hta"),
    "pyarrow": ("report/parquet",),
}
LATE = {
    "aiohttp",
    "dask",
    "distributed",
    "fsspec",
    "hta",
    "isal",
    "jinja2",
    "pandas",
    "pyarrow",
    "rich",
    "torch",
    "traceinsight",
}


def layer(path: Path) -> str:
    return name_of(path).split("/")[0]


def within(name: str) -> tuple[str, str]:
    """(`cost`, `formulas`) of `traceanalyzer.cost.formulas.matmul`; (`cost`, `__init__`) of the package."""
    _, package, *rest = name.split(".")
    return package, rest[0] if rest else "__init__"


def test_every_layer_is_in_the_table() -> None:
    assert {layer(path) for path in MODULES} <= set(ALLOWED) | FREE


def test_layers_are_in_an_order() -> None:
    assert not cycle({name: set(may.split()) for name, may in ALLOWED.items()})


@over_all(MODULES, name_of)
def test_imports_point_inwards(path: Path) -> None:
    own, found = layer(path), inner(syntax(path))
    if own in FREE:
        return
    assert "traceanalyzer" not in found, "import the module, not the package"
    may = {own, *ALLOWED[own].split()}
    packages = {name.split(".")[1] for name in found}
    assert packages <= may, f"{own} must not import {sorted(packages - may)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_inside_a_package_point_left(package: str) -> None:
    order = PACKAGES[package].split()
    there = {within(name)[1] for name in NAMES if name.startswith(f"traceanalyzer.{package}.")}
    assert there | {"__init__"} == set(order), "each part of a package has its place in the order"
    for name, imported in graph(typing=True).items():
        if name.split(".")[1:2] != [package]:
            continue
        place = order.index(within(name)[1])
        parts = {within(other)[1] for other in imported if other.split(".")[1] == package}
        assert parts <= set(order[: place + 1]), f"{name} imports {sorted(parts - set(order[: place + 1]))}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not cycle(graph(typing=False))


@over_all(MODULES, name_of)
def test_packages_stay_where_they_are_needed(path: Path) -> None:
    used = {one.package for one in imports(syntax(path))}
    # `report/__init__` starts with "report/" as well.
    stray = [name for name in sorted(used & set(ONLY)) if not name_of(path).startswith(ONLY[name])]
    assert not stray, f"{name_of(path)} must not import {stray}"


@over_all(MODULES, name_of)
def test_slow_packages_are_imported_when_used(path: Path) -> None:
    early = {one.package for one in imports(syntax(path)) if one.when == "load"} & LATE
    assert not early, f"import {sorted(early)} inside the function that needs it"


COMMAND_LINES = ("cli/", "__main__", "ci/__main__", "ranks/worker")  # a process of its own


@over_all([p for p in MODULES if not name_of(p).startswith(COMMAND_LINES)], name_of)
def test_only_the_command_line_prints_or_ends_the_process(path: Path) -> None:
    calls = [ast.unparse(n.func) for n in ast.walk(syntax(path)) if isinstance(n, ast.Call)]
    assert not {"print", "exit", "quit", "sys.exit", "os._exit"} & set(calls)


def test_the_package_is_found() -> None:
    assert PACKAGE.is_dir() and len(MODULES) > 50


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import torch.nn", {Import("torch.nn", "load")}),
        ("from traceanalyzer.cost import price", {Import("traceanalyzer.cost.price", "load")}),
        ("from traceanalyzer.cost import FORMULAS", {Import("traceanalyzer.cost", "load")}),
        ("from traceanalyzer import cost", {Import("traceanalyzer.cost", "load")}),
        ("def f():\n    def g():\n        import rich", {Import("rich", "call")}),
        ("class A:\n    import rich", {Import("rich", "load")}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import rich",
         {Import("torch", "typing"), Import("rich", "load")}),
        ("f = lambda: __import__('dask')", {Import("dask", "call")}),
        ("importlib.import_module('traceanalyzer.files')", {Import("traceanalyzer.files", "load")}),
        ("def f(x):\n    return import_module(f'traceanalyzer.annotate.c{x}')",
         {Import("traceanalyzer.annotate.copy", "call"), Import("traceanalyzer.annotate.counters", "call")}),
        ("sys.modules['traceanalyzer.report']", {Import("traceanalyzer.report", "load")}),
        ("sys.modules.get('torch')", {Import("torch", "load")}),
        ("x: 'traceanalyzer.cli.main'", set()),
    ],
)  # fmt: skip
def test_every_way_to_import_is_seen(text: str, found: set[Import]) -> None:
    assert imports(ast.parse(text)) == found


@pytest.mark.parametrize(
    "text", ["import_module(name)", "__import__('a' + b)", "importlib.import_module(f'{x}.y')"]
)
def test_a_name_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        imports(ast.parse(text))
