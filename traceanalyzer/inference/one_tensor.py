"""Operators that another one gives one tensor twice: what they read is read once.

A trace records the dims of each argument, not which tensor it is. But `isnan(x)` is `x != x` wherever it
runs, and so are a few others made: aten/src/ATen/native/TensorCompare.cpp (isnan, isfinite),
ReduceOps.cpp (nanmean), Loss.cpp (kl_div).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traceanalyzer.records import OpCall
from traceanalyzer.records.trace import OpKind, Ops

# The operator inside -> those that call it with (x, x), and with nothing else.
_SQUARED = {
    "aten::ne": ("aten::isnan", "aten::nanmean"),
    "aten::eq": ("aten::isfinite",),
    "aten::xlogy": ("aten::kl_div",),
}


def given_twice(names: Sequence[str], ops: Ops, calls: Sequence[OpCall]) -> set[int]:
    """Rows in `ops` of operators whose first two inputs are one tensor."""
    ids = {name: at for at, name in enumerate(names)}
    repeating: set[int] = set()
    for inner, callers in _SQUARED.items():
        above = [ids[name] for name in callers if name in ids]
        if inner not in ids or not above:
            continue
        rows = np.flatnonzero((ops.name == ids[inner]) & (ops.parent >= 0) & (ops.call >= 0))
        parent = ops.parent[rows]
        rows = rows[np.isin(ops.name[parent], above) & (ops.kind[parent] == OpKind.OP)]
        repeating |= {row for row in rows.tolist() if _alike(calls[ops.call[row]])}
    return repeating


def _alike(call: OpCall) -> bool:
    """Whether nothing that is recorded tells the two inputs apart."""
    first, second = ((call.dims(i), call.dtype(i), call.strides(i)) for i in (0, 1))
    return first == second and bool(call.dims(0))
