"""Seen: matmul kernels for operands whose rows do not start at multiples of 16 bytes (`align1`, `align2`),
because a dimension is odd.

Instead: pad the odd dimension to a multiple of 8 elements: vocabulary, heads, tokens.

Saves: nothing in bytes; aligned kernels load wider and run faster. No time is predicted.

When not: padding changes results that nobody masks.

Left out: dimensions that are multiples already, where the tensor begins at an odd place; padding that would
add more than half to the arithmetic; fp32, and kernels without a matrix engine, which load elements one by
one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod

from traceanalyzer.fusion.rules.base import Match, Rule, with_call
from traceanalyzer.fusion.rules.matmuls import OPERANDS, operand_shapes, sizes, time_ns
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import ITEMSIZE, duration, percent

_ALIGN = re.compile(r"align(\d+)")
_VECTOR = re.compile(r"simt", re.IGNORECASE)  # loads elements one by one, whatever the rows
_ACCESS = 16  # bytes of the widest load
_STEP_SHARE = 0.02  # of the step
_MOST_ADDED = 1.5  # by padding: the arithmetic of padded matmuls by that of these


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, without a time, for all such matmuls that no other suggestion replaces."""
    nodes = [node for node in with_call(graph, _has_odd_rows) if free(node) and _unaligned(graph, node)]
    time = time_ns(nodes)
    if nodes and time >= _STEP_SHARE * graph.step_ns:
        largest = max(nodes, key=lambda node: node.time_ns)
        row = graph.row_of(largest)
        evidence = f"{duration(time)} per step in such kernels; the largest: {sizes(largest)}, of which "
        evidence += f"{' and '.join(map(str, _odd(largest)))} is no multiple of {_elements(largest)}"
        if row is not None and row.efficiency is not None:
            evidence += f", at {percent(row.efficiency)} of its roof"
        where = largest.module or largest.call.name
        yield Match(tuple(nodes), "T0", evidence=evidence, where=where, claims=False)


def _has_odd_rows(node: Node) -> bool:
    """Whether it is a matmul with sizes that no widest load divides, and little is added to pad them."""
    full = _elements(node) if node.name in OPERANDS else None
    if full is None:
        return False
    odd = _odd(node)
    more = prod(-(-size // full) * full / size for size in odd)  # of the arithmetic, padded to not padded
    return bool(odd) and more <= _MOST_ADDED


def _unaligned(graph: StepGraph, node: Node) -> bool:
    """Whether its longest kernel is made for such rows."""
    row, full = graph.row_of(node), _elements(node)
    longest = row.kernel_names[0].name if row is not None and row.kernel_names else ""
    made_for = _ALIGN.search(longest)
    if made_for is None or full is None or _VECTOR.search(longest):
        return False
    return int(made_for[1]) < full


def _elements(node: Node) -> int | None:
    """How many of them the widest load takes; None of fp32 and fp64."""
    kind = node.call.dtype(OPERANDS[node.name][0])
    size = ITEMSIZE.get(kind or "", 4)
    return _ACCESS // size if size < 4 else None


def _odd(node: Node) -> list[int]:
    """Sizes of the dimensions along which memory runs that are no multiple of what a load takes."""
    shapes, full = operand_shapes(node), _elements(node)
    if shapes is None or full is None:
        return []
    left, right = shapes
    along = [
        dims[-1] if _by_rows(node, argument) else dims[-2]
        for dims, argument in zip(shapes, OPERANDS[node.name], strict=True)
    ]
    return sorted({size for size in (*along, right[-1]) if size % full})


def _by_rows(node: Node, argument: int) -> bool:
    strides = node.call.strides(argument)
    return len(strides) < 2 or strides[-1] == 1 or strides[-2] != 1


RULE = Rule(
    "unaligned_gemm", __doc__ or "", find,
    title="Matmuls run on kernels for misaligned rows",
    action="Pad the odd dimension to a multiple of 8 elements.",
    snippet="",
    caveats=("padded rows need a mask, and add work of their own",),
    needs=("gpu", "shapes"),
    docs="https://docs.nvidia.com/deeplearning/performance/dl-performance-matrix-multiplication/",
    concerns_compiled=True,
)  # fmt: skip
