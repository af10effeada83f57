"""Seen: product kernels for operands whose rows do not start at multiples of 16 bytes (`align1`, `align2`).

Instead: pad the odd dimension to a multiple of 8 elements: vocabulary, heads, tokens.

Saves: nothing in bytes; aligned kernels load wider and run faster. No time is predicted.

When not: padding adds more work than alignment saves, or changes results that nobody masks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, steps
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import OpRow
from traceanalyzer.records.units import duration

_ODD = re.compile(r"align[124](?!\d)")
_SHARE = 0.02  # of the window


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, without a time, for all such products that no other suggestion replaces."""
    replaced = {(node.call.name, node.call.shapes) for node in graph.nodes if not free(node)}
    odd = [row for row in graph.rows if _odd(row)]
    rows = [row for row in odd if (row.name, row.input_dims) not in replaced]
    time = sum(row.attributed_ns for row in rows)
    if rows and time >= _SHARE * graph.window_ns:
        largest = max(rows, key=lambda row: row.attributed_ns)
        told = f"{duration(time / steps(graph))} a step in such kernels; the largest: {largest.name} "
        told += f"{largest.input_dims}"
        if largest.efficiency is not None:
            told += f" at {100 * largest.efficiency:.2g} % of its roof"
        yield Match((), "T0", evidence=told, where=largest.module or largest.name)


def _odd(row: OpRow) -> bool:
    contraction = row.operator_class == "tensor_contraction"
    longest = row.kernel_names[0].name if row.kernel_names else ""
    wide = row.input_types is not None and not any(kind == "float" for kind in row.input_types)
    return contraction and wide and _ODD.search(longest) is not None


RULE = Rule(
    "unaligned_gemm", __doc__ or "", find,
    title="Products run on kernels for misaligned rows",
    action="Pad the odd dimension to a multiple of 8 elements.",
    snippet="",
    caveats=("padded rows need a mask, and add work of their own",),
    docs="https://docs.nvidia.com/deeplearning/performance/dl-performance-matrix-multiplication/",
)  # fmt: skip
