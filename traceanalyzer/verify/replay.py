"""A region of a trace as a program: its operators called again, on tensors of the recorded sizes and types.

The output of one operator is passed to the next one that takes such a tensor; other inputs are random.
In-place operators are called in their out-of-place form, so that repeated runs have the same inputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from traceanalyzer.records import OpCall
from traceanalyzer.records.errors import UsageError

_TYPES = {
    "fp64": "float64", "fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int64": "int64",
    "int32": "int32", "int16": "int16", "int8": "int8", "uint8": "uint8", "bool": "bool",
}  # fmt: skip
_CONVOLUTIONS = ("mkldnn_convolution", "cudnn_convolution", "miopen_convolution")


class Replay(msgspec.Struct, frozen=True):
    """`run(*inputs)` does what the region did."""

    run: Callable[..., Any]
    inputs: tuple[Any, ...]
    fixed: frozenset[int] = frozenset()  # inputs that autograd has no gradient of, as running statistics


@contextmanager
def told(what: str) -> Iterator[None]:
    """What PyTorch cannot run, differentiate or compile here becomes a UsageError."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{what}: {reason}", fix="try the change in the model itself") from error


def replay(
    calls: Sequence[OpCall], fed: Sequence[Sequence[int]], needed: Sequence[bool], device: str
) -> Replay:
    """`fed`: of each call the earlier ones whose results it takes; `needed`: whose are wanted outside.

    UsageError names an operator that cannot be called from what the trace records.
    """
    import torch

    graph = torch.fx.Graph()
    built = _Builder(torch, graph, device)
    for call, sources in zip(calls, fed, strict=True):
        built.add(call, sources)
    wanted = [node for node, need in zip(built.nodes, needed, strict=True) if need] or built.nodes[-1:]
    graph.output(tuple(wanted))
    return Replay(torch.fx.GraphModule({}, graph), tuple(built.inputs), frozenset(built.fixed))


class _Builder:
    """One graph, with real tensors beside its nodes: they show which argument fits which result."""

    def __init__(self, torch: Any, graph: Any, device: str) -> None:
        self._torch, self._graph, self._device = torch, graph, device
        self.nodes: list[Any] = []  # a call's first result
        self._values: list[Any] = []  # what it is
        self.inputs: list[Any] = []
        self.fixed: set[int] = set()

    def add(self, call: OpCall, sources: Sequence[int]) -> None:
        overload, arguments = _bound(self._torch, call)
        left, first = list(sources), len(self.inputs)
        nodes, values = [], []
        for argument in arguments:
            if isinstance(argument, _Tensor):
                node, value = self._given(argument, left)
            elif isinstance(argument, _Tensors):
                pairs = [self._given(item, left) for item in argument.items]
                node, value = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            else:
                node = value = argument
            nodes.append(node)
            values.append(value)
        try:
            result = overload(*values)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise UsageError(f"{call.name}: does not run again: {str(error).partition(chr(10))[0]}",
                             fix="verify a rule whose evidence does not name it") from error  # fmt: skip
        new = range(first, len(self.inputs))
        self.fixed |= {i for i in new if not _takes_gradient(self._torch, overload, values, self.inputs[i])}
        node = self._graph.call_function(overload, tuple(nodes))
        if isinstance(result, tuple | list):
            result, node = result[0], self._graph.call_function(_first, (node,))
        self.nodes.append(node)
        self._values.append(result)

    def _given(self, wanted: _Tensor, left: list[int]) -> tuple[Any, Any]:
        """An earlier result that fits, once; else a new input."""
        for source in left:
            result = self._values[source]
            if result.dtype == wanted.dtype(self._torch) and result.numel() == wanted.count > 0:
                left.remove(source)
                node = self.nodes[source]
                if tuple(result.shape) != wanted.dims:
                    reshape = self._torch.ops.aten.reshape.default
                    node = self._graph.call_function(reshape, (node, wanted.dims))
                    result = result.reshape(wanted.dims)
                return node, result
        value = wanted.filled(self._torch, self._device)
        self.inputs.append(value)
        return self._graph.placeholder(f"x{len(self.inputs)}"), value


def _takes_gradient(torch: Any, overload: Any, values: Sequence[Any], given: Any) -> bool:
    """Whether autograd lets the operator take `given`, one of its `values`, as a tensor to differentiate by.

    Only autograd knows: torch/tools/autograd/derivatives.yaml names no gradient of running statistics, of
    the classes' weights of a loss and more.
    """
    if not given.is_floating_point():
        return False
    leaf = given.detach().requires_grad_()

    def put(value: Any) -> Any:
        return [put(each) for each in value] if isinstance(value, list) else leaf if value is given else value

    try:
        with torch.enable_grad():
            overload(*(put(value) for value in values))
    except RuntimeError:
        return False
    return True


def _first(results: Any) -> Any:
    return results[0]


class _Tensor(msgspec.Struct, frozen=True):
    dims: tuple[int, ...]
    dtype_name: str
    strides: tuple[int, ...] | None

    @property
    def count(self) -> int:
        total = 1
        for size in self.dims:
            total *= size
        return total

    def dtype(self, torch: Any) -> Any:
        return getattr(torch, _TYPES[self.dtype_name])

    def filled(self, torch: Any, device: str) -> Any:
        """Positive numbers, so that no root and no logarithm fails; valid classes and masks."""
        dtype = self.dtype(torch)
        if self.dtype_name == "bool":
            return torch.rand(self.dims, device=device) < 0.5
        if not dtype.is_floating_point:
            return torch.zeros(self.dims, dtype=dtype, device=device)
        value = torch.rand(self.dims, device=device).add_(0.1).to(dtype)
        if self.strides is None or 0 in self.dims:
            return value
        span = 1 + sum((size - 1) * stride for size, stride in zip(self.dims, self.strides, strict=True))
        return torch.rand(span, device=device).add_(0.1).to(dtype).as_strided(self.dims, self.strides)


class _Tensors(msgspec.Struct, frozen=True):
    items: tuple[_Tensor, ...]


def _bound(torch: Any, call: OpCall) -> tuple[Any, list[Any]]:
    """The overload that takes these arguments, and them."""
    name = call.name.removeprefix("aten::")
    if name == "copy_":
        return _copied(torch, call)
    packet = getattr(torch.ops.aten, name.rstrip("_") if not name.startswith("_foreach") else name, None)
    packet = packet or getattr(torch.ops.aten, name, None)
    for overload_name in packet.overloads() if packet is not None else ():
        overload = getattr(packet, overload_name)
        try:
            arguments = _arguments(torch, call, overload._schema.arguments)
        except (ValueError, IndexError, KeyError):
            continue
        if name in _CONVOLUTIONS:
            names = [argument.name for argument in overload._schema.arguments]
            return torch.ops.aten.convolution.default, _convolution(dict(zip(names, arguments, strict=False)))
        return overload, arguments
    raise UsageError(f"{call.name}: cannot be called again from what the trace records of it",
                     fix="verify a rule whose evidence does not name it")  # fmt: skip


def _convolution(given: Mapping[str, Any]) -> list[Any]:
    """What calls a library's kernel, for it has neither a gradient nor a rule of the compiler by itself."""
    stride = given["stride"]
    return [
        given["self"], given["weight"], given.get("bias"), stride, given["padding"], given["dilation"], False,
        [0] * len(stride), given["groups"],
    ]  # fmt: skip


def _copied(torch: Any, call: OpCall) -> tuple[Any, list[Any]]:
    """A copy into another type or layout, as one that makes its result."""
    into, source = _tensor(call, 0), _tensor(call, 1)
    if into.dtype_name != source.dtype_name:
        return _cast, [source, into.dtype(torch)]
    return torch.ops.aten.clone.default, [source]


def _cast(value: Any, dtype: Any) -> Any:
    return value.to(dtype)


def _arguments(torch: Any, call: OpCall, wanted: Sequence[Any]) -> list[Any]:
    """ValueError where one does not fit its type."""
    arguments: list[Any] = []
    positional = [argument for argument in wanted if not argument.kwarg_only]
    if any(argument.is_out for argument in wanted):
        raise ValueError("writes to an argument")
    required = len([argument for argument in positional if not argument.has_default_value()])
    more = call.shapes[len(wanted) :]  # what it writes to, of a call with out=
    if len(call.shapes) < required or len(more) > 1 or not all(more):
        raise ValueError("takes fewer arguments, or more")
    for i, argument in enumerate(positional[: len(call.shapes)]):
        arguments.append(_argument(torch, call, i, str(argument.type), argument))
    return arguments


def _argument(torch: Any, call: OpCall, index: int, schema_type: str, argument: Any) -> Any:
    tensor = call.dtype(index) is not None or call.dims(index) != ()
    if "Tensor" in schema_type:
        if tensor and "List" in schema_type:
            return _tensors(call, index)
        if tensor:
            return _tensor(call, index)
        if schema_type.startswith("Optional"):
            return None
        raise ValueError("no tensor")
    if tensor:
        raise ValueError("a tensor")
    return _value(torch, call.value(index) or "", schema_type, argument)


def _value(torch: Any, text: str, schema_type: str, argument: Any) -> Any:
    text = text.strip()
    if text in ("", "None"):
        if argument.has_default_value():
            return argument.default_value
        if schema_type.startswith("Optional"):
            return None
        raise ValueError("not recorded")
    if "List" in schema_type:
        if "bool" in schema_type:
            return [word in ("True", "true") for word in re.findall(r"\w+", text)]
        return [int(word) for word in re.findall(r"-?\d+", text)]
    if "bool" in schema_type or text in ("True", "False"):
        return text in ("True", "true", "1")
    number = float(text)
    return int(number) if re.fullmatch(r"-?\d+", text) else number


def _tensors(call: OpCall, index: int) -> _Tensors:
    """Of a list whose type is not recorded, single-precision numbers."""
    items = [dims for dims in call.dims(index) if isinstance(dims, tuple)]
    strides = call.strides(index)
    plain = [stride if isinstance(stride, tuple) else None for stride in strides] or [None] * len(items)
    if len(items) != len(call.dims(index)) or len(plain) != len(items):
        raise ValueError("no list of tensors")
    precision = call.list_dtype or "fp32"
    pairs = zip(items, plain, strict=True)
    return _Tensors(tuple(_Tensor(dims, precision, stride) for dims, stride in pairs))


def _tensor(call: OpCall, index: int) -> _Tensor:
    dims = tuple(size for size in call.dims(index) if isinstance(size, int))
    precision = call.dtype(index)
    if precision not in _TYPES or len(dims) != len(call.dims(index)):
        raise ValueError("no plain tensor")
    strides = call.strides(index)
    plain = tuple(stride for stride in strides if isinstance(stride, int))
    return _Tensor(dims, precision, plain if len(plain) == len(dims) else None)
