"""Seen: tensors copied into another layout, same type and size: `.contiguous()`, `reshape` after `transpose`.

Instead: operators that take strides: `scaled_dot_product_attention` with transposed inputs, `einsum`, a
layout chosen once at the start.

Saves: at most the copy: a read and a write of the tensor.

When not: the operator that follows is slower on strided input than copy and operator together.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band

_ASKED = ("aten::contiguous", "aten::reshape", "aten::clone")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each copy of one type whose strides differ."""
    for node in graph.nodes:
        if free(node) and node.name in ("copy", "clone") and _another_layout(node) and _asked(graph, node):
            yield Match((node,), "T3", saved=Band(0.0, node.time_ns, node.time_ns), bytes_saved=node.bytes)


def _another_layout(node: Node) -> bool:
    kinds, strides = node.call.dtypes, node.call.input_strides
    same = len(kinds) < 2 or kinds[0] == kinds[1]
    if node.name == "copy":
        return same and len(strides) > 1 and strides[0] != strides[1] and len(node.call.shapes[0]) > 1
    return bool(strides) and list(strides[0]) != sorted(strides[0], key=_number, reverse=True)


def _number(stride: object) -> int:
    return stride if isinstance(stride, int) else 0


def _asked(graph: StepGraph, node: Node) -> bool:
    scopes = graph.scopes(node)[:2]
    return node.name == "clone" or any(name in _ASKED for name in scopes)


RULE = Rule(
    "layout_copies", __doc__ or "", find,
    title="Tensors are copied into another layout",
    action="Drop .contiguous(), or the reshape behind a transpose, where the next operator takes strides; "
    "keep one layout from end to end.",
    caveats=("some operators copy by themselves, or are slower on strided input: measure",),
    docs="https://docs.pytorch.org/docs/stable/tensor_view.html",
)  # fmt: skip
