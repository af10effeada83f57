"""Calls as the raw trace records them, read here once more: nothing of the package is used."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

TYPES = {
    "float": torch.float32, "double": torch.float64, "int": torch.int32, "long int": torch.int64,
    "long": torch.int64, "long long": torch.int64, "bool": torch.bool, "signed char": torch.int8,
    "unsigned char": torch.uint8, "short": torch.int16, "c10::Half": torch.float16,
    "c10::BFloat16": torch.bfloat16, "c10::Float8_e4m3fn": torch.float8_e4m3fn,
    "c10::Float8_e5m2": torch.float8_e5m2, "c10::complex<float>": torch.complex64,
}  # fmt: skip


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Call:
    """What one row of the trace says of an operator's arguments."""

    name: str
    dims: tuple[Any, ...]
    types: tuple[str, ...]
    strides: tuple[Any, ...]
    concrete: tuple[str, ...]
    item: torch.dtype | None = None  # of tensors in lists, which no trace records: from kernel names

    def is_tensor(self, place: int) -> bool:
        return place < len(self.types) and self.types[place] in TYPES

    def tensor(self, place: int) -> torch.Tensor:
        """On the device `meta`: sizes, strides and type, and no memory."""
        dims, strides = self.dims[place], self.strides[place] if place < len(self.strides) else ()
        kind = TYPES[self.types[place]]
        if len(strides) == len(dims):
            return torch.empty_strided(dims, strides, dtype=kind, device="meta")
        return torch.empty(dims, dtype=kind, device="meta")

    def tensors(self, place: int) -> list[torch.Tensor]:
        if self.item is None:
            raise ValueError("nothing tells the type of the list's tensors")
        return [torch.empty(dims, dtype=self.item, device="meta") for dims in self.dims[place]]


class Recording:
    """The operator rows of one trace, by (name, dims, types); and what encloses what."""

    def __init__(self, file: Path) -> None:
        with gzip.open(file) as text:
            document = json.load(text, strict=False)
        rows = [e for e in document["traceEvents"] if e.get("cat") in ("cpu_op", "Operator", "operator")]
        self.calls: dict[tuple[Any, ...], set[Call]] = defaultdict(set)
        self._threads: dict[Any, list[tuple[float, float, Call]]] = defaultdict(list)
        for row in rows:
            call = _call(row)
            self.calls[call.name, call.dims, call.types].add(call)
            self._threads[row.get("pid"), row.get("tid")].append((row["ts"], row["ts"] + row["dur"], call))

    def alike(self, name: str, dims: Any, types: Any, strides: Any, concrete: Any) -> Iterator[Call]:
        """Calls that a row of a report stands for; it shows strides and scalars only where these matter."""
        for call in self.calls[name, dims, types]:
            if strides in (None, call.strides) and concrete in (None, call.concrete):
                yield call

    def gradient_of(self, given: Any, weight: Any) -> Any:
        """Dims of the gradient that a backward convolution of these inputs was given; None: there is none."""
        found = {dims[1] for name, dims, _ in self.calls if name.endswith("_convolution_backward")
                 and len(dims) > 2 and (dims[0], dims[2]) == (given, weight)}  # fmt: skip
        return found.pop() if len(found) == 1 else None

    def third_of(self, part: str, gradient: Any, other: Any) -> Any:
        """The third size of the backward convolution round its part `..._input` or `..._weight`."""
        whole = part.rpartition("_")[0]
        place = 2 if part.endswith("_input") else 0
        missing = 0 if place == 2 else 2
        found = {dims[missing] for name, dims, _ in self.calls if name == whole
                 and len(dims) > 2 and (dims[1], dims[place]) == (gradient, other)}  # fmt: skip
        return found.pop() if len(found) == 1 else None


def _call(row: dict[str, Any]) -> Call:
    args = row.get("args", {})
    dims = _frozen(args.get("Input Dims") or args.get("Input dims") or [])
    types = _frozen(args.get("Input type") or [])
    strides, concrete = (_frozen(args.get(key) or []) for key in ("Input Strides", "Concrete Inputs"))
    return Call(row["name"], dims, types + ("",) * (len(dims) - len(types)), strides, concrete)
