"""OpCalls as a trace records them, from real arguments."""

from __future__ import annotations

from typing import Any

import torch

from traceanalyzer.records import Dims, OpCall
from traceanalyzer.records.units import canonical_dtype

NAMES = {
    torch.float32: "float", torch.float64: "double", torch.float16: "c10::Half",
    torch.bfloat16: "c10::BFloat16",
    torch.int64: "long int", torch.int32: "int", torch.bool: "bool", torch.int8: "signed char",
    torch.uint8: "unsigned char", torch.float8_e4m3fn: "c10::Float8_e4m3fn",
    torch.complex64: "c10::complex<float>", torch.complex128: "c10::complex<double>",
    torch.int16: "short",
}  # fmt: skip


def call_of(name: str, *arguments: Any, list_dtype: str | None = None) -> OpCall:
    """What Kineto writes for `name(*arguments)`."""
    shapes: list[Dims] = []
    types: list[str] = []
    strides: list[Dims] = []
    concrete: list[str] = []
    for value in arguments:
        if isinstance(value, torch.Tensor):
            shapes.append(tuple(value.shape))
            types.append(NAMES[value.dtype])
            strides.append(tuple(value.stride()))
            concrete.append("")
        elif isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
            shapes.append(tuple(tuple(t.shape) for t in value))
            types.append("TensorList")
            strides.append(tuple(tuple(t.stride()) for t in value))
            concrete.append("")
            list_dtype = list_dtype or canonical_dtype(NAMES[value[0].dtype])
        else:
            shapes.append(())
            plain = "" if value is None else "Scalar"
            types.append("ScalarList" if isinstance(value, list | tuple) else plain)
            strides.append(())
            concrete.append("" if value is None else str(list(value) if isinstance(value, tuple) else value))
    return OpCall(
        name, tuple(shapes), tuple(canonical_dtype(t) for t in types), tuple(types), tuple(strides),
        tuple(concrete), list_dtype,
    )  # fmt: skip
