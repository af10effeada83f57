"""Seen: tensors copied into another layout, of the same type and size: `.contiguous()`, or `reshape` after
`transpose`.

Instead: operators that take strides: `scaled_dot_product_attention` with transposed inputs, `einsum`, or one
layout chosen at the start.

Saves: at most the copy: one read and one write of the tensor.

When not: the operator that follows is slower on strided input than copy and operator together.

Left out: copies that another operator makes for itself, as a convolution or a matmul does; clones that keep
the layout; casts; copies into a tensor that is there already, such as a cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band, Dims
from traceanalyzer.records.trace import OpKind

_ASKED = ("aten::contiguous", "aten::reshape", "aten::clone")
# What stands between a script and the copy: these hand it on.
_PASSING = (*_ASKED, "aten::flatten", "aten::copy_", "aten::to", "aten::_to_copy", "aten::_reshape_copy")
_MEMORY_FORMAT = 1  # argument of clone: a code of c10::MemoryFormat
_CONTIGUOUS = "0"


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each copy of one type whose strides differ."""
    for node in graph.nodes:
        if free(node) and node.name in ("copy", "clone") and _another_layout(graph, node) and not (
            _for_another_operator(graph, node)
        ):  # fmt: skip
            yield Match((node,), "T3", saved=Band(0.0, node.time_ns, node.time_ns), bytes_saved=node.bytes)


def _another_layout(graph: StepGraph, node: Node) -> bool:
    call, asked = node.call, any(name in _ASKED for name in graph.scopes(node)[:2])
    if node.name == "copy":
        into = _steps_in_memory(call.dims(0), call.strides(0))
        source = _steps_in_memory(call.dims(1), call.strides(1))
        same = call.dtype(0) == call.dtype(1) and call.dims(0) == call.dims(1)
        return asked and same and len(source) > 1 and into != source
    wanted = call.value(_MEMORY_FORMAT)
    strides = _steps_in_memory(call.dims(0), call.strides(0))
    return (wanted == _CONTIGUOUS or not wanted and asked) and strides != sorted(strides, reverse=True)


def _steps_in_memory(dims: Dims, strides: Dims) -> list[int]:
    """Strides of the dimensions that have more than one element; none where a list of tensors is given."""
    pairs = zip(dims, strides, strict=False)
    return [
        stride for size, stride in pairs if isinstance(size, int) and isinstance(stride, int) and size > 1
    ]


def _for_another_operator(graph: StepGraph, node: Node) -> bool:
    """Whether an operator such as a convolution asks for the copy, and not the script."""
    kinds, names = graph.trace.ops.kind, graph.trace.names
    above = (row for row in graph.above(node) if kinds[row] == OpKind.OP)
    callers = (names[graph.trace.ops.name[row]] for row in above)
    return any(name.startswith("aten::") and name not in _PASSING for name in callers)


RULE = Rule(
    "layout_copies", __doc__ or "", find,
    title="Tensors are copied into another layout",
    action="Drop .contiguous(), or the reshape behind a transpose, where the next operator takes strides; "
    "keep one layout from end to end.",
    caveats=("some operators are slower on strided input, or copy it themselves: measure",),
    docs="https://docs.pytorch.org/docs/stable/tensor_view.html",
)  # fmt: skip
