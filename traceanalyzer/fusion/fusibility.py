"""What a compiler can make one kernel of: element-wise operators and reductions over one set of rows.

As PyTorch's compiler does it (torch/_inductor/scheduler.py): products, convolutions, fused attention, sorts,
scans and scatters are kernels of their own; whatever maps elements to elements joins whatever precedes or
follows it, and reductions join where they reduce the same number of elements to a row.
"""

from __future__ import annotations

from math import prod
from typing import Literal

from traceanalyzer.cost.registry import Missing, formula_for
from traceanalyzer.cost.tensors import has, integers, shape
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.units import ITEMSIZE

Kind = Literal["element", "reduction", "opaque"]

# Formula functions, by the file of their family, whose operators a compiler joins with others.
_ELEMENT = {
    "pointwise": ("*",),
    "moves": ("copy", "concatenate", "create", "duplicate", "pad", "passed_on", "triangle", "fill"),
    "reductions": ("pair_loss_backward", "nll_loss_backward"),
    "indexing": ("embedding",),
}
_REDUCTION = {
    "norms": (
        "batch_norm", "batch_norm_backward", "group_norm", "group_norm_backward", "layer_norm",
        "layer_norm_backward", "rms_norm", "rms_norm_backward", "softmax", "softmax_backward",
    ),
    "reductions": ("nested_reduction", "reduction", "pair_loss"),
}  # fmt: skip
_OURS = "traceanalyzer.cost."
_NO_PART = ("amp_scale", "complex_of")  # a loss scale's own bookkeeping; types that the compiler leaves alone


def kind(call: OpCall) -> Kind:
    """Whether a compiler joins it with its neighbours, and as what."""
    formula = formula_for(call)
    if formula is None or call.triton:
        return "opaque"
    if not (formula.price.__module__ or "").startswith(_OURS):
        return "opaque"  # a user's formula says what it costs, not what it is
    family, function = formula.price.__module__.rpartition(".")[2], formula.price.__name__
    if function in _NO_PART:
        return "opaque"
    if function in _REDUCTION.get(family, ()):
        return "reduction"
    listed = _ELEMENT.get(family, ())
    return "element" if "*" in listed or function in listed else "opaque"


def elements(call: OpCall, cost: Cost) -> int:
    """Of the largest tensor that is read or written; a reduction writes no larger one than it reads."""
    sizes = [prod(shape(call, i)) for i in range(len(call.shapes)) if has(call, i)]
    kinds = [ITEMSIZE[name] for name in call.dtypes if name]
    written = cost.write_bytes // max(kinds) if kinds and kind(call) == "element" else 0
    return max([*sizes, written], default=0)


def reduced(call: OpCall, cost: Cost) -> int | None:
    """Elements that become one, where it is a reduction; None where it is none, or that is not known."""
    if kind(call) != "reduction":
        return None
    try:
        return _reduced(call, cost)
    except (Missing, ValueError, IndexError):
        return None


def _reduced(call: OpCall, cost: Cost) -> int:
    name = call.name.removeprefix("aten::")
    if "softmax" in name:
        backward = "backward" in name
        return shape(call, 0)[integers(call, 2 if backward else 1)[0]]
    if "layer_norm" in name or "rms_norm" in name:
        return prod(integers(call, 2 if "backward" in name else 1))
    dims = shape(call, 0)
    if "batch_norm" in name:
        return prod(dims) // dims[1]
    if "group_norm" in name:
        return prod(dims[1:])  # of one sample; its groups are parts of it
    size = ITEMSIZE[call.dtypes[0] or "fp32"]
    return prod(dims) // max(cost.write_bytes // size, 1)
