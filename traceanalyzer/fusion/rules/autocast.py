"""What runs in which type under `torch.autocast` in bf16 on a CPU, and what is cast for that.

Products take bf16 and return it. Losses take fp32 (aten/src/ATen/autocast_mode.h). All else takes what it
gets: of several types the widest, to which the others are copied first; but normalizations keep their weights
in fp32 beside an input in bf16.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from math import prod

from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.fusion.rules.convolutions import is_convolution
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.rules.matmuls import is_trained
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Dims

_WIDE = re.compile(r"loss|cross_entropy|log_softmax|kl_div|cdist|grid_sampler|pool3d|unpool|tion_pad[123]d")
_NORM = re.compile(r"(?:batch|layer|group)_norm")
_FILLED = ("zero", "zeros", "zeros_like", "fill", "full", "full_like", "ones", "ones_like", "new_zeros")
_MOST = 0.9  # of what an operator reads, where it is not known which argument is what
_CAST_BYTES = 4 + 2  # an element is read in fp32 and written in bf16, or the other way round


def half_results(graph: StepGraph) -> frozenset[int]:
    """Places of the operators whose results would be in bf16: those of fp32 today."""
    half: set[int] = set()
    takes_half: dict[int, bool] = {}  # of a forward product, by the rows that its gradient may name
    for node in graph.nodes:
        if node.phase == "optimizer" or "fp32" not in types(node):
            continue
        if multiplies(node):
            forward = forward_of(graph, node) if node.phase == "backward" else None
            if forward is None:
                taken = any(_is_half(graph, node, at, half) for at in _fp32(node))
                takes_half |= dict.fromkeys((node.row, *graph.above(node)), taken)
            if forward is None or takes_half.get(forward, True):  # else its result is cast back to fp32
                half.add(node.place)
        elif not _WIDE.search(node.name) and _follows(graph, node, half):
            half.add(node.place)
    return frozenset(half)


def cast_bytes(graph: StepGraph, nodes: Iterable[Node], half: frozenset[int]) -> int:
    """Read and written to cast operands of products to bf16, and inputs of all else to fp32 where some are;
    in training as much again for gradients."""
    forward = [node for node in nodes if node.phase not in ("backward", "optimizer")]
    elements = sum(sum(_casts(graph, node, half)) for node in forward)
    return _CAST_BYTES * elements * (2 if is_trained(graph) else 1)


def _casts(graph: StepGraph, node: Node, half: frozenset[int]) -> Iterator[int]:
    """Elements of each input that is cast. In place a type stays, and other inputs are read as they are."""
    if node.call.name.endswith("_"):
        return
    to_half = multiplies(node)
    for at, size in _fp32(node).items():
        if _is_half(graph, node, at, half) != to_half and (to_half or node.place not in half):
            yield size


def types(node: Node) -> set[str | None]:
    """Of its tensors that have dims, lists of them too."""
    return {dtype for _, _, dtype in _tensors(node)}


def _tensors(node: Node) -> Iterator[tuple[int, Dims, str | None]]:
    """Argument, dims and type of each input with dims; of a list the dims of all and their one type."""
    for at, dims, dtype, _ in node.call.tensors():
        yield at, dims, node.call.list_dtype if isinstance(dims[0], tuple) else dtype


def multiplies(node: Node) -> bool:
    """Whether it is a product or a convolution, which autocast lists."""
    cost = node.cost
    return cost is not None and cost.flops > 0 and (cost.engine == "matrix" or is_convolution(node))


def operand_elements(node: Node) -> int:
    """Of its operands in fp32, lists of tensors among them."""
    return sum(_fp32(node).values())


def _fp32(node: Node) -> Mapping[int, int]:
    """Elements of each argument in fp32 that has dims and is read."""
    unread = UNREAD.get(node.call.name, ())
    return {at: _elements(dims) for at, dims, dtype in _tensors(node) if dtype == "fp32" and at not in unread}


def _follows(graph: StepGraph, node: Node, half: set[int]) -> bool:
    """Whether all that decides its type is in bf16: what it changes, what it normalizes, else all."""
    arguments = _fp32(node)
    first = min(arguments, default=-1)
    if node.call.name.endswith("_") and first == 0 and not _is_filled(graph, node, 0):
        return _is_half(graph, node, 0, half)
    if _NORM.search(node.name):
        return first >= 0 and _is_half(graph, node, first, half)
    deciding = [at for at in arguments if not _is_filled(graph, node, at)]
    return bool(deciding) and all(_is_half(graph, node, at, half) for at in deciding)


def _is_half(graph: StepGraph, node: Node, argument: int, half: set[int] | frozenset[int]) -> bool:
    """Whether such an operator made it; by what they hand on, where it is not known as which argument."""
    tensor = graph.argument_tensors.get((node.place, argument))
    if tensor is not None:
        return tensor[0] in half
    edges = [edge for edge in graph.into.get(node.place, ()) if edge.tier == "T1" and edge.producer in half]
    return sum(edge.bytes for edge in edges) >= _MOST * 4 * operand_elements(node)


def _is_filled(graph: StepGraph, node: Node, argument: int) -> bool:
    """Whether it is filled with a constant, and so takes the type of what it is made for."""
    tensor = graph.argument_tensors.get((node.place, argument))
    return tensor is not None and tensor[0] >= 0 and graph.nodes[tensor[0]].name in _FILLED


def _elements(dims: Dims) -> int:
    nested = [_elements(each) for each in dims if isinstance(each, tuple)]
    return sum(nested) if nested else prod(size for size in dims if isinstance(size, int))
