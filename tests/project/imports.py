"""What a module imports: at its head, in functions, under TYPE_CHECKING, and by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.project.tree import MODULES, PACKAGE, Function, syntax

BY_NAME = {"import_module", "__import__", "load_module"}


def dotted(path: Path) -> str:
    """`traceanalyzer.report` of report/__init__.py."""
    inner = path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    return inner.removesuffix(".__init__")


NAMES = {dotted(path): path for path in MODULES}


@dataclass(frozen=True)
class Import:
    """One module that is imported, and when."""

    module: str
    when: str  # "load", "call" (inside a function), "typing"

    @property
    def package(self) -> str:
        """`torch` of `torch.nn`."""
        return self.module.partition(".")[0]


class Unreadable(AssertionError):
    """An import by a name that no reader of the source can tell."""


@cache
def imports(tree: ast.AST) -> frozenset[Import]:
    """All of a module, also those by name."""
    return frozenset(_below(tree, "load"))


def inner(tree: ast.AST) -> set[str]:
    """Modules of this package that `tree` imports: `traceanalyzer.cost.price`, never a name inside one."""
    return {one.module for one in imports(tree) if one.package == "traceanalyzer"}


def _below(node: ast.AST, when: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        yield from (Import(name, when) for name in _imported(child))
        if isinstance(child, Function | ast.Lambda):
            yield from _below(child, "call")
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.body:
                yield from (Import(name, "typing") for name in _imported(part))
                yield from _below(part, "typing")
            for part in child.orelse:
                yield from (Import(name, when) for name in _imported(part))
                yield from _below(part, when)
        else:
            yield from _below(child, when)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0 and node.module, "imports are absolute"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in NAMES else node.module
    elif isinstance(node, ast.Call):
        yield from _named(node)
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
        yield from _constant(node.slice)


def _named(call: ast.Call) -> Iterator[str]:
    """Modules that a call imports by a name that is written there; f-strings by what could fill them."""
    function = ast.unparse(call.func)
    if function in ("sys.modules.get", "sys.modules.pop") and call.args:
        yield from _constant(call.args[0])
    if function.rpartition(".")[2] not in BY_NAME or not call.args:
        return
    argument = call.args[0]
    if isinstance(argument, ast.JoinedStr):
        pattern = "".join(
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[\w.]+"
            for part in argument.values
        )
        found = [name for name in NAMES if re.fullmatch(pattern, name)]
        if not found:
            raise Unreadable(f"line {call.lineno}: {ast.unparse(call)} imports nothing of this package")
        yield from found
        return
    named = list(_constant(argument))
    if not named:
        raise Unreadable(f"line {call.lineno}: {ast.unparse(call)}: write an import statement")
    yield from named


def _constant(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def graph(*, typing: bool) -> dict[str, set[str]]:
    """Each module of the package and those it imports."""
    return {
        name: {
            one.module
            for one in imports(syntax(path))
            if one.package == "traceanalyzer" and one.module != name and (typing or one.when != "typing")
        }
        for name, path in NAMES.items()
    }


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """A cycle, or [] where there is none."""
    state: dict[str, bool] = {}  # False while it is being followed
    path: list[str] = []

    def follow(node: str) -> list[str]:
        if node in state:
            return [] if state[node] else [*path[path.index(node) :], node]
        state[node] = False
        path.append(node)
        for after in sorted(edges.get(node, ())):
            if found := follow(after):
                return found
        path.pop()
        state[node] = True
        return []

    return next((found for node in sorted(edges) if (found := follow(node))), [])
