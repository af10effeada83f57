"""What several rules ask of matmuls: operands, sizes, weights, and whether some of these are quantized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import OpRow, Shape, Verdict
from traceanalyzer.records.units import duration, percent
from traceanalyzer.roofline.attribution import union_ns

OPERANDS = {
    "mm": (0, 1), "addmm": (1, 2), "_addmm_activation": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2),
    "_grouped_mm": (0, 1),
}  # fmt: skip
"""Operator -> which arguments its operands are."""
LINEAR = ("mm", "addmm", "_addmm_activation")
"""Matmuls of two matrices: in a linear layer the second operand is the weight."""
HALF = ("bf16", "fp16")
_NARROW = ("int8", "uint8", "fp8_e4m3", "fp8_e5m2", "fp4")
_MIN_ELEMENTS = 1 << 16  # elements: a smaller matrix of bytes may be anything


def shape_of(node: Node, argument: int) -> Shape:
    """Dims of one tensor; () where the argument is none, or a list."""
    dims = node.call.dims(argument)
    return tuple(size for size in dims if isinstance(size, int)) if dims else ()


def operand_shapes(node: Node) -> tuple[Shape, Shape] | None:
    """Dims of both operands; None where the node is no matmul, or these are not recorded."""
    if node.name not in OPERANDS:
        return None
    left, right = (shape_of(node, argument) for argument in OPERANDS[node.name])
    return (left, right) if len(left) > 1 and len(right) > 1 else None


def weight_shape(node: Node) -> Shape | None:
    """Dims [k, n] of a linear layer's weight; None of other matmuls."""
    shapes = operand_shapes(node) if node.name in LINEAR else None
    return shapes[1] if shapes and len(shapes[1]) == 2 else None


def half_matmuls(
    graph: StepGraph, free: Free, names: Sequence[str], verdict: Verdict
) -> Iterator[tuple[Node, OpRow]]:
    """Free matmuls in half precision with this verdict, and the rows that say so."""
    for node in graph.nodes:
        if node.name in names and free(node):
            row = graph.row_of(node)
            if row is not None and row.verdict == verdict and row.precision in HALF:
                yield node, row


def is_trained(graph: StepGraph) -> bool:
    """Whether the step has a backward pass or an optimizer."""
    return graph.once(_has_gradients)


def _has_gradients(graph: StepGraph) -> bool:
    return any(node.phase in ("backward", "optimizer") for node in graph.nodes)


def has_narrow_weights(graph: StepGraph) -> bool:
    """Whether any matmul, or any matrix that is read, has 8 or 4 bits an element: some weights at least are
    quantized."""
    return graph.once(_any_is_narrow)


def _any_is_narrow(graph: StepGraph) -> bool:
    return any(map(_is_narrow, graph.of_each_call))


def _is_narrow(node: Node) -> bool:
    return _multiplies_narrow(node) or _packed(node.call.name) or any(
        kind in _NARROW
        and len(dims) == 2
        and prod(size for size in dims if isinstance(size, int)) >= _MIN_ELEMENTS
        for _, dims, kind, _ in node.call.tensors()
    )  # fmt: skip


def _multiplies_narrow(node: Node) -> bool:
    cost = node.cost
    return cost is not None and cost.engine == "matrix" and cost.precision in ("fp8", "int8", "fp4")


def _packed(name: str) -> bool:
    """A matmul whose weights are packed into wider integers, by its operator's name."""
    return any(word in name for word in ("int4", "4bit", "gptq", "awq", "marlin"))


def time_ns(nodes: Sequence[Node]) -> int:
    """Kernel time of one step."""
    return sum(node.time_ns for node in nodes)


def share_of_busy(graph: StepGraph, ns: float) -> float:
    """Of the busy time of the step that the graph is of; kernels that run side by side take more."""
    busy = _busy_ns(graph)
    return min(1.0, ns / busy) if busy else 0.0


def _busy_ns(graph: StepGraph) -> float:
    """In which anything runs that this step launched; on a CPU that of an average step."""
    kernels = graph.trace.kernels
    mine = (kernels.launch_ns >= graph.step.start_ns) & (kernels.launch_ns < graph.step.end_ns)
    if graph.trace.on_cpu or not mine.any():
        return graph.busy_ns / graph.step_count
    return union_ns(kernels.start_ns[mine], kernels.end_ns[mine])


def time_and_share(graph: StepGraph, nodes: Sequence[Node]) -> str:
    """`12.3 ms per step, 47.1 % of busy time`."""
    ns = time_ns(nodes)
    return f"{duration(ns)} per step, {percent(share_of_busy(graph, ns))} of busy time"


def sizes(node: Node) -> str:
    """`mm [64, 512] × [512, 64]`."""
    shapes = operand_shapes(node)
    return f"{node.name} {list(shapes[0])} × {list(shapes[1])}" if shapes else node.name
