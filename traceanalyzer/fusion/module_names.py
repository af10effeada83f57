"""Which module holds operators, and how code refers to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records.code_places import forward_source
from traceanalyzer.records.recording import MODULE_ANNOTATION
from traceanalyzer.records.trace import Ids, OpKind, above, nearest, passes

_NAMED = re.compile(r"\{([^{}]*)module\}")
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


def with_name(advice: str, where: str) -> str:
    """Advice with `{, module}` or `{ in module}` in it, as it reads with this name, or without one."""
    return _NAMED.sub(lambda named: f"{named[1]}{where}" if where else "", advice)


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


class _Calls(msgspec.Struct, frozen=True, eq=False):
    """Calls of modules that the trace annotates; all are rows in Trace.ops."""

    innermost: Ids  # of each node
    around: Ids  # of each row the next one outside


def module_calls(graph: StepGraph, path: str) -> list[int]:
    """Of each node which call it runs in of the module that a path means, or of one inside of that where that
    is never called itself: its row in Trace.ops; -1. A backward operator belongs to the call of its forward
    one. "": the call of the module that no other encloses.
    """
    names, ops, calls = graph.trace.names, graph.trace.ops, graph.once(_calls)
    row, found = calls.innermost.copy(), np.full(len(graph.nodes), -1, np.int32)
    chosen = passes(
        names, np.arange(len(names), dtype=np.int32),
        lambda name: name.startswith(MODULE_ANNOTATION)
        and (not path or is_in_any(name.removeprefix(MODULE_ANNOTATION), path)),
    )  # fmt: skip
    while (row >= 0).any():
        found = np.where((row >= 0) & chosen[ops.name[row]], row, found)
        row = np.where(row >= 0, calls.around[row], -1)
    rows: list[int] = found.tolist()
    return rows


def _calls(graph: StepGraph) -> _Calls:
    ops = graph.trace.ops
    called = ops.kind == OpKind.ANNOTATION
    called &= passes(graph.trace.names, ops.name, lambda name: name.startswith(MODULE_ANNOTATION))
    own = np.array([node.row for node in graph.nodes], np.int32)
    return _Calls(nearest(ops.parent, called)[forward_source(ops)[own]], above(ops.parent, called))
