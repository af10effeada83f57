"""Which module holds operators, and how code refers to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records.recording import MODULE_ANNOTATION

_NUMBER = re.compile(r"\d+")


def holder(nodes: Sequence[Node]) -> str:
    """The innermost module that holds all of them; "" where none does."""
    paths = [(node.module or "").split(".") for node in nodes]
    common = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def pattern(path: str) -> str:
    """The same of every layer: `layers.*.mlp`."""
    return _NUMBER.sub("*", path)


def shared_pattern(paths: Sequence[str]) -> str:
    """Of paths with one `pattern`: a number that all have stays, as those of `wav2vec2.layers.*`."""
    numbers = zip(*(_NUMBER.findall(path) for path in paths), strict=True)
    shown = iter([each[0] if len(set(each)) == 1 else "*" for each in numbers])
    return _NUMBER.sub(lambda _: next(shown), paths[0])


def as_regex(path: str) -> str:
    """Which names a pattern means."""
    return re.escape(path).replace(r"\*", r"\d+")


def is_in(module: str | None, path: str) -> bool:
    """Whether a module is the one at `path`, or inside of it."""
    return bool(path) and module is not None and (module == path or module.startswith(f"{path}."))


def is_in_any(module: str | None, path: str) -> bool:
    """Whether a module is one of those that a pattern means, or inside of it."""
    return bool(path) and module is not None and bool(re.match(rf"{as_regex(path)}(?:\.|$)", module))


def attribute(path: str) -> str:
    """A module's path as Python reads it: `blocks.0.norm` is `model.blocks[0].norm`."""
    parts = [part for part in path.split(".") if part]
    return "model" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)


def is_whole_model(graph: StepGraph, path: str) -> bool:
    """Whether a path is the module that no other encloses: named by its class, without a path."""
    return not path or path in graph.once(_roots)


def _roots(graph: StepGraph) -> frozenset[str]:
    """Names of modules that are in no other."""
    roots: set[str] = set()
    for node in graph.of_each_call:
        modules = [name for name in graph.scopes(node) if name.startswith(MODULE_ANNOTATION)]
        roots.update(name.removeprefix(MODULE_ANNOTATION) for name in modules[-1:])
    return frozenset(roots)
