"""Imports point inwards only, and heavy packages stay where they are needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

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


def outward(path: Path) -> list[str]:
    """Layers that a module imports and must not."""
    own = layer(path)
    inner = {name.split(".")[1] for name in imports(syntax(path)) if name.startswith("traceanalyzer.")}
    return [] if own in FREE else sorted(inner - {own, *ALLOWED[own].split()})


def test_imports_point_inwards() -> None:
    assert {name_of(path): found for path in MODULES if (found := outward(path))} == {}


def stray(path: Path) -> list[str]:
    """Packages that a module imports and must not."""
    used = {name.split(".")[0] for name in imports(syntax(path))}
    # `report/__init__` starts with "report/" as well.
    return [name for name in sorted(used & set(ONLY)) if not name_of(path).startswith(ONLY[name])]


def test_packages_stay_where_they_are_needed() -> None:
    assert {name_of(path): found for path in MODULES if (found := stray(path))} == {}


def test_slow_packages_are_imported_inside_the_functions_that_need_them() -> None:
    early = {name_of(p): {n.split(".")[0] for n in imports_on_load(syntax(p))} & LATE for p in MODULES}
    assert {module: names for module, names in early.items() if names} == {}


def test_only_the_command_line_prints_or_ends_the_process() -> None:
    inner = [path for path in MODULES if layer(path) not in ("cli", "__main__")]
    calls = [(p, ast.unparse(n.func)) for p in inner for n in ast.walk(syntax(p)) if isinstance(n, ast.Call)]
    ends = {"print", "exit", "quit", "sys.exit", "os._exit"}
    assert [(name_of(path), called) for path, called in calls if called in ends] == []


def test_the_package_is_found() -> None:
    assert PACKAGE.is_dir() and len(MODULES) > 50
