"""What a module calls and writes to, by the names under which that was imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

_CHANGING = {
    "append", "extend", "insert", "remove", "clear", "sort", "add", "discard", "update", "setdefault", "pop",
    "popitem", "fill", "put", "resize", "__setitem__", "__delitem__",
}  # fmt: skip


@cache
def origins(tree: ast.Module) -> dict[str, str]:
    """Each imported name, and the whole dotted name of what it stands for."""
    named: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            named |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in tree.body:  # `make = Analysis`
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            named |= {t.id: whole(node.value, named) for t in node.targets if isinstance(t, ast.Name)}
    return named


def whole(node: ast.expr, named: dict[str, str]) -> str:
    """`msgspec.structs.replace` of `replace`, where that was imported from there."""
    first, dot, rest = ast.unparse(node).partition(".")
    return named.get(first, first) + dot + rest


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a module, by the whole name of what is called."""
    named = origins(tree)
    return ((whole(n.func, named), n) for n in ast.walk(tree) if isinstance(n, ast.Call))


def changed(tree: ast.Module) -> Iterator[str]:
    """The name at the head of whatever is changed through an attribute: `graph` of `graph.memo[key] = 1`.

    What an object changes of itself is not among them, unless it does so through its namespace.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            target: ast.expr = node
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            target = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func.value if node.func.attr in _CHANGING else ast.Name("")
        else:
            continue
        text = ast.unparse(target)
        namespace = text.endswith(".__dict__") or text.startswith("vars(")
        if namespace or isinstance(target, ast.Attribute) and _head(target) not in ("self", "cls"):
            yield _head(target)


def _head(node: ast.expr) -> str:
    """`trace` of `trace.kernels.op`, and of `f(trace).op` the call."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return ast.unparse(node)
