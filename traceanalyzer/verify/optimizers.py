"""An optimizer's step on parameters of the recorded sizes, as it ran and fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traceanalyzer.records import OpCall
from traceanalyzer.records.errors import UsageError
from traceanalyzer.verify.replay import Replay

_PARAMETER_WRITERS = (
    "aten::_foreach_addcdiv_", "aten::addcdiv_", "aten::_foreach_mul_", "aten::mul_", "aten::mul",
    "aten::_foreach_add_", "aten::add_",
)  # fmt: skip


def optimizers(where: str, calls: Sequence[OpCall], device: str) -> tuple[Replay, Replay]:
    """`where`: "optimizer AdamW". As single operators where the trace has those, else as lists."""
    import torch

    name = where.split()[-1]
    shapes = _shapes(calls)
    optimizer: Any = getattr(torch.optim, name, None)
    if optimizer is None or not shapes:
        raise UsageError(f"{where}: the trace does not record its parameters", fix="verify another rule")
    options = {"momentum": 0.9} if name == "SGD" and any("mul" in call.name for call in calls) else {}
    lists = any(call.name.startswith("aten::_foreach") for call in calls)
    return (
        _step(optimizer(_parameters_of(torch, shapes, device), foreach=lists, **options)),
        _step(optimizer(_parameters_of(torch, shapes, device), fused=True, **options)),
    )


def _shapes(calls: Sequence[OpCall]) -> list[tuple[int, ...]]:
    """Dims of what the operator that writes the parameters, or SGD's momentum, is given first."""
    for name in _PARAMETER_WRITERS:
        shapes: list[tuple[int, ...]] = []
        for call in calls:
            if call.name == name and call.dims(0):
                shapes += _each(call.dims(0))
        if shapes:
            return shapes
    return []


def _each(dims: Sequence[Any]) -> list[tuple[int, ...]]:
    return [tuple(d) for d in dims] if isinstance(dims[0], tuple) else [tuple(dims)]


def _parameters_of(torch: Any, shapes: Sequence[tuple[int, ...]], device: str) -> list[Any]:
    parameters = [torch.nn.Parameter(torch.rand(shape, device=device)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    return parameters


def _step(optimizer: Any) -> Replay:
    return Replay(optimizer.step, ())
