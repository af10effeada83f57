"""Imports point inwards only, and heavy packages stay where they are needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.tree import MODULES, PACKAGE, name_of, syntax

ALLOWED = {  # not listed: pipeline, cli, __init__ and __main__, which may import everything
    "files": "",
    "costs": "formulas",
    "startup": "",
    "records": "",
    "trace": "records",
    "inference": "records trace",
    "cost": "records inference",
    "formulas": "records cost",
    "device": "records",
    "roofline": "records cost device",
    "fusion": "records cost roofline",
    "assembly": "records cost device roofline",
    "report": "records files",
    "compare": "records",
    "verify": "records cost fusion",
    "collect": "records files startup",
    "ranks": "records trace",
}
FREE = {"pipeline", "analyze", "cli", "__init__", "__main__"}
ONLY = {
    "torch": ("collect/", "device/calibrate", "verify/"),
    "transformers": ("collect/huggingface",),
    "lightning": ("collect/lightning",),
    "dask": ("ranks/",),
    "distributed": ("ranks/",),
    "hta": ("ranks/",),
    "traceinsight": ("ranks/",),
    "jinja2": ("report/",),
    "rich": ("report/terminal", "cli/"),
    "click": ("cli/",),
}
LATE = {"dask", "distributed", "hta", "jinja2", "pandas", "rich", "torch", "traceinsight"}


def imported(node: ast.AST) -> Iterator[str]:
    """Modules that one statement imports, `traceanalyzer.x` for `from traceanalyzer import x` as well."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0 and node.module, "imports are absolute"
        whole = node.module == "traceanalyzer"
        yield from (f"{node.module}.{a.name}" if whole else node.module for a in node.names)


def imports(tree: ast.AST) -> set[str]:
    return {name for node in ast.walk(tree) for name in imported(node)}


def imports_on_load(node: ast.AST) -> Iterator[str]:
    """Modules imported when the module is: not those in functions or under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield from imported(child)
        yield from imports_on_load(child)


def layer(path: Path) -> str:
    return name_of(path).split("/")[0]


def test_every_layer_is_in_the_table() -> None:
    assert {layer(path) for path in MODULES} <= set(ALLOWED) | FREE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_inwards(path: Path) -> None:
    own = layer(path)
    if own in FREE:
        return
    may = {own, *ALLOWED[own].split()}
    inner = {name.split(".")[1] for name in imports(syntax(path)) if name.startswith("traceanalyzer.")}
    assert inner <= may, f"{own} must not import {sorted(inner - may)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_packages_stay_where_they_are_needed(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(syntax(path))}
    # `report/__init__` starts with "report/" as well.
    stray = [name for name in sorted(used & set(ONLY)) if not name_of(path).startswith(ONLY[name])]
    assert not stray, f"{name_of(path)} must not import {stray}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_slow_packages_are_imported_when_used(path: Path) -> None:
    early = {name.split(".")[0] for name in imports_on_load(syntax(path))} & LATE
    assert not early, f"import {sorted(early)} inside the function that needs it"


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p) not in ("cli", "__main__")], ids=name_of)
def test_only_the_command_line_prints_or_ends_the_process(path: Path) -> None:
    calls = [ast.unparse(n.func) for n in ast.walk(syntax(path)) if isinstance(n, ast.Call)]
    assert not {"print", "exit", "quit", "sys.exit", "os._exit"} & set(calls)


def test_the_package_is_found() -> None:
    assert PACKAGE.is_dir() and len(MODULES) > 50
