"""How large an operator's loop is, and how many elements it reduces to one: what decides which ops fuse.

As PyTorch's compiler does it (torch/_inductor/scheduler.py): whatever maps elements to elements joins
whatever precedes or follows it, and reductions join where they reduce the same number of elements to a row.
"""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing
from traceanalyzer.cost.tensors import integer, itemsize, numel, shape, sizes, tensors
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.priced import PricedCall
from traceanalyzer.records.units import ITEMSIZE

_TWO_RESULTS = ("aten::native_dropout", "aten::_fused_dropout")  # a tensor like the first input, and a mask


def elements(priced: PricedCall) -> int:
    """Of the largest tensor that is read or written, 0 where that is not known.

    A reduction writes no larger one than it reads.
    """
    call, cost = priced.call, priced.known
    if cost is None:
        return 0
    try:
        read = [numel(shape(call, i)) for i in tensors(call)]
    except Missing:
        return 0
    sizes_of_one = [ITEMSIZE[name] for name in call.dtypes if name]
    written = 0
    if sizes_of_one and priced.fusible == "element" and call.name not in _TWO_RESULTS:
        written = cost.write_bytes // max(sizes_of_one)
    return max([*read, written], default=0)


def reduced(priced: PricedCall) -> int | None:
    """Elements that become one, where it is a reduction; None where it is none, or that is not known."""
    if priced.fusible != "reduction" or priced.known is None:
        return None
    try:
        return _reduced(priced.call, priced.known)
    except Missing:
        return None


def _reduced(call: OpCall, cost: Cost) -> int:
    name = call.name.removeprefix("aten::")
    dims = shape(call, 0)
    if "softmax" in name:
        return dims[integer(call, 2 if "backward" in name else 1)]
    if "layer_norm" in name or "rms_norm" in name:
        return numel(sizes(call, 2 if "backward" in name else 1))
    if "batch_norm" in name:
        return numel(dims) // max(dims[1], 1)
    if "group_norm" in name:
        return numel(dims[1:])  # of one sample; its groups are parts of it
    return numel(dims) // max(cost.write_bytes // itemsize(call, 0), 1)
