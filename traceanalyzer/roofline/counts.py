"""Measured bytes that rows may show: those of ranges whose order fits the operators they were given to."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from traceanalyzer.cost import operator_class
from traceanalyzer.records import Notice, OpRow

_CONTRACTION = "tensor_contraction"


def believed_counts(rows: Sequence[OpRow]) -> tuple[list[OpRow], tuple[Notice, ...]]:
    """The rows, without any measured bytes where a kernel plainly is another operator's.

    Ranges of counters are given to operators by their order alone, so one in the wrong place says that
    others may be.
    """
    wrong = [row for row in rows if row.counter_bytes is not None and _is_of_another(row)]
    if not wrong:
        return list(rows), ()
    example = f"{wrong[0].name} would have run {wrong[0].kernel_names[0].name}"
    text = f"the order of the ranges is not that of the launches ({example}): no bytes are given to operators"
    return [structs.replace(row, counter_bytes=None) for row in rows], (
        Notice("counters_out_of_order", text, len(wrong)),
    )


def _is_of_another(row: OpRow) -> bool:
    """A contraction without a kernel of its kind, or a kernel of a contraction where the operator is none."""
    if row.input_dims is None or not row.kernel_names:
        return False
    kernels = [operator_class(None, kernel.name) == _CONTRACTION for kernel in row.kernel_names]
    return not any(kernels) if row.operator_class == _CONTRACTION else all(kernels)
