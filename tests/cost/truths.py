"""What operators touch where their schema does not say: other elements than their inputs and outputs have."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import cast

import torch
from msgspec.structs import replace

from tests.cost.live import Pair, Seen
from traceanalyzer.cost import formula_of, price_call
from traceanalyzer.records import OpCall, Shape, Unpriced
from traceanalyzer.records.units import ITEMSIZE

Truth = Callable[[OpCall, Seen], tuple[int, int]]


def sizes(call: OpCall, place: int) -> Shape:
    """Of input `place`, which is a tensor and no list of them."""
    return cast(Shape, call.shapes[place])


def weight(call: OpCall, place: int) -> int:
    """Bytes of input `place`, none where it has no dimensions."""
    dims = sizes(call, place) if place < len(call.shapes) else ()
    return prod(dims) * ITEMSIZE[call.dtypes[place] or ""] if dims else 0


def elements(call: OpCall, place: int) -> int:
    """Of all tensors of the list that input `place` is."""
    return sum(prod(shape) for shape in cast(tuple[Shape, ...], call.shapes[place]))


def chosen(place: int) -> Truth:
    """As many elements as come out, each another one while there are some; and the indices."""
    return lambda call, seen: (min(seen.write_bytes, weight(call, 0)) + weight(call, place), seen.write_bytes)


def table_gradient(call: OpCall, seen: Seen) -> tuple[int, int]:
    """Zeros everywhere; then the rows asked for, each another one while there are some, read and written."""
    touched = min(weight(call, 0), seen.write_bytes)
    return seen.read_bytes + touched, seen.write_bytes + touched


def each_loss(call: OpCall, seen: Seen) -> tuple[int, int]:
    """Every element's loss is written; the mean of them is an operator that this one calls."""
    return seen.read_bytes, weight(call, 0)


def batch_norm(call: OpCall, seen: Seen) -> tuple[int, int]:
    """GPUs keep the statistics in fp32; training writes the running ones, which the schema conceals."""
    without = call.name == "aten::_native_batch_norm_legit" and len(call.shapes) == 6
    trains = call.name == "aten::_batch_norm_with_update" or call.concrete[3 if without else 5] == "True"
    running = 0 if without else weight(call, 3) + weight(call, 4)
    return seen.read_bytes, weight(call, 0) + (8 * sizes(call, 0)[1] + running) * trains


def layer_norm(call: OpCall, seen: Seen) -> tuple[int, int]:
    """GPUs keep the statistics in fp32, the CPU in the input's type."""
    return seen.read_bytes, weight(call, 0) + (seen.write_bytes - weight(call, 0)) * 4 // item(call, 0)


def item(call: OpCall, place: int) -> int:
    return ITEMSIZE[call.dtypes[place] or ""]


def bags(call: OpCall, seen: Seen) -> tuple[int, int]:
    """Rows asked for, each another one while there are some; what is kept differs from device to device."""
    table, row = weight(call, 0), sizes(call, 0)[-1] * item(call, 0)
    rows = min(table, prod(sizes(call, 1)) * row)
    last = call.concrete[7] == "True"
    return seen.read_bytes - table + rows, row * (prod(sizes(call, 2)) - last)


TRUTH: dict[str, Truth] = {
    "aten::embedding": chosen(1),
    "aten::index_select": chosen(2),
    "aten::gather": chosen(2),
    "aten::take": chosen(1),
    "aten::embedding_dense_backward": table_gradient,
    # a probability a label, the labels and the weights of classes; the loss and the total weight
    **dict.fromkeys(
        ("aten::nll_loss_forward", "aten::nll_loss2d_forward"),
        lambda call, seen: (
            prod(sizes(call, 1)) * (item(call, 0) + 8) + weight(call, 2),
            item(call, 0) * (prod(sizes(call, 1)) if call.concrete[3] == "0" else 2))),
    # labels; without a reduction the gradient of each, else a number
    **dict.fromkeys(
        ("aten::nll_loss_backward", "aten::nll_loss2d_backward"),
        lambda call, seen: (prod(sizes(call, 2)) * 8 + weight(call, 0) + weight(call, 3), seen.write_bytes)),
    **dict.fromkeys(
        ("aten::native_batch_norm", "aten::_native_batch_norm_legit", "aten::_batch_norm_with_update"),
        batch_norm),
    # gradients are only read, unless they are unscaled; the count of steps is a number
    "aten::_fused_adamw_": lambda call, seen: (
        16 * elements(call, 0), 12 * elements(call, 0)),
    **dict.fromkeys(
        ("aten::mse_loss", "aten::smooth_l1_loss", "aten::huber_loss", "aten::soft_margin_loss",
         "aten::binary_cross_entropy", "aten::binary_cross_entropy_with_logits"), each_loss),
    # the diagonal alone
    "aten::trace": lambda call, seen: (item(call, 0) * min(sizes(call, 0)), seen.write_bytes),
    "aten::native_layer_norm": layer_norm,
    # the CPU keeps what the gradient needs; GPUs do not
    "aten::log_sigmoid_forward": lambda call, seen: (seen.read_bytes, seen.write_bytes // 2),
    # what comes out, however large the tensor that it is cut of
    "aten::as_strided_copy": lambda call, seen: (min(seen.read_bytes, seen.write_bytes), seen.write_bytes),
    "aten::_embedding_bag": bags,
}  # fmt: skip

# Those that touch a part of their first input, which indices choose: priced for no more than the whole of it.
TOUCHED = frozenset(
    f"aten::{name}" for name in (
        "scatter", "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_",
        "index_add", "index_add_", "index_copy", "index_copy_", "index_put", "index_put_",
        "_index_put_impl_", "index_reduce", "index_reduce_", "index_fill_", "put_",
    )
)  # fmt: skip


def delegates(name: str) -> bool:
    """An operator that is made of others, on every device."""
    overloads = torch._C._jit_get_schemas_for_operator(name)
    return any(
        torch._C._dispatch_has_kernel_for_dispatch_key(each, "CompositeExplicitAutograd")
        for each in (f"{s.name}.{s.overload_name}" if s.overload_name else s.name for s in overloads)
    )


@dataclass
class Compared:
    """Calls whose bytes were compared, what was wrong with some, and operators without a price."""

    calls: set[OpCall] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    unpriced: dict[str, str] = field(default_factory=dict)


def compare(pairs: Sequence[Pair], unpriced: Container[str]) -> Compared:
    """Every call that does work, priced, beside what it did; those apart that none but numbers are given."""
    result = Compared()
    for call, seen in pairs:
        formula = formula_of(call.name)
        if not any(call.shapes) or (formula.role == "free" if formula else delegates(call.name)):
            continue
        cost = price_call(replace(call, list_dtype=seen.list_dtype))
        if isinstance(cost, Unpriced):
            result.unpriced[call.name] = cost.reason
            numbers = any(kind and not dims for kind, dims in zip(call.dtypes, call.shapes, strict=True))
            mixed = "TensorList" in call.types and seen.list_dtype is None
            expected = {"no_shapes": numbers, "no_dtype": mixed}.get(cost.reason, call.name in unpriced)
            if not expected:
                result.wrong.append(f"{call.name} {call.shapes} {call.concrete}: {cost}")
            continue
        truth = TRUTH[call.name](call, seen) if call.name in TRUTH else (seen.read_bytes, seen.write_bytes)
        priced = (cost.read_bytes, cost.write_bytes)
        result.calls.add(call)
        if call.name in TOUCHED:
            touched = cost.write_bytes
            good = cost.read_bytes <= truth[0] + touched and touched <= truth[1]
        else:
            good = priced == truth
        if not good:
            given = f"{call.shapes} {call.dtypes} {call.input_strides} {call.concrete}"
            result.wrong.append(f"{call.name} {given}: {priced} for {truth}")
    return result
