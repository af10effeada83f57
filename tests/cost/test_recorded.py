"""An input that an operator always has, and a trace leaves out, is unknown: it is not counted as nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from tests.cost.odd_calls import ALIKE, by_function
from traceanalyzer.cost import FORMULAS, price_call
from traceanalyzer.records import Cost, OpCall, Unpriced

NAMES = [
    name for name in FORMULAS if name.startswith("aten::") and torch._C._jit_get_schemas_for_operator(name)
]
# Tensors by the schema, but empty or undefined in calls that are well-formed.
MAY_BE_EMPTY = {
    "aten::_fused_sgd_": {2}, "aten::_fused_sgd": {2},  # no momentum
    "aten::_fused_adam_": {4}, "aten::_fused_adam": {4},  # no amsgrad
    "aten::_fused_adamw_": {4}, "aten::_fused_adamw": {4},
    "aten::_scaled_dot_product_efficient_attention_backward": {4},  # no bias
    "aten::_scaled_dot_product_cudnn_attention_backward": {8},
    "aten::_scaled_dot_product_fused_attention_overrideable_backward": {4},
    "aten::_efficient_attention_backward": {4},
    "aten::_cudnn_attention_backward": {8},
}  # fmt: skip


def overloads(name: str) -> list[list[str]]:
    """Types of the arguments of each overload on tensors."""
    schemas = torch._C._jit_get_schemas_for_operator(name)
    kept = [[str(a.type) for a in s.arguments] for s in schemas if not any(a.is_out for a in s.arguments)]
    return [types for types in kept if any("Tensor" in kind for kind in types)]


def with_places(items: tuple[Any, ...], places: set[int], value: Any) -> tuple[Any, ...]:
    return tuple(value if place in places else item for place, item in enumerate(items))


def without(call: OpCall, places: set[int]) -> OpCall:
    """The call with nothing recorded of some inputs."""
    return replace(
        call, shapes=with_places(call.shapes, places, ()), dtypes=with_places(call.dtypes, places, None),
        types=with_places(call.types, places, ""), input_strides=with_places(call.input_strides, places, ()),
    )  # fmt: skip


def calls(name: str) -> Iterator[tuple[OpCall, set[int]]]:
    """Calls of an operator that are priced, each with the places that always hold a tensor."""
    kinds = overloads(name)
    always = set.intersection(*({i for i, kind in enumerate(types) if kind == "Tensor"} for types in kinds))
    for call in by_function().get(FORMULAS[name].price, ()):
        if call.name == name:
            yield call, always
    for types in kinds:
        numbers = {i for i, kind in enumerate(types) if "Tensor" not in kind}
        for base in ALIKE:
            if len(base.shapes) >= len(types):
                yield replace(without(base, numbers), name=name), always


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_that_is_not_recorded_is_not_nothing(name: str) -> None:
    if not overloads(name):
        return
    for call, always in calls(name):
        cost = price_call(call)
        for place in always - MAY_BE_EMPTY.get(name, set()):
            if isinstance(cost, Cost) and place < len(call.shapes) and call.shapes[place]:
                left = price_call(without(call, {place}))
                assert isinstance(left, Unpriced) or left == cost, (place, call, left)
