"""What several rules ask of convolutions: their groups, and whether they may use TF32."""

from __future__ import annotations

from traceanalyzer.cost.formulas.convolution import FORWARD
from traceanalyzer.cost.tensors import is_true
from traceanalyzer.fusion.rules.matmuls import shape_of
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import OpCall

# Which argument allows TF32: torch/aten/src/ATen/native/native_functions.yaml.
_ALLOWS_TF32 = {
    "aten::_convolution": 12, "aten::cudnn_convolution": 8, "aten::cudnn_convolution_transpose": 9,
}  # fmt: skip
# Where a backward operator has the weight, the input, and the number of groups.
_BACKWARD = {"aten::convolution_backward": (2, 1, 9), "aten::cudnn_convolution_backward": (2, 0, 6)}


def is_convolution(node: Node) -> bool:
    """A convolution or its gradient, of whatever library."""
    return "convolution" in node.name or node.name.startswith(("conv", "_conv", "slow_conv", "thnn_conv"))


def is_grouped(node: Node) -> bool:
    """Whether it has several groups, as a depthwise one has: its kernels use no matrix engine."""
    call = node.call
    if "depthwise" in call.name:
        return True
    weight, given, groups = _BACKWARD.get(call.name, (1, 0, -1))
    layout = FORWARD.get(call.name)
    if layout is not None:
        weight, groups = layout.weight, layout.groups
    text = call.value(groups) if groups >= 0 else None
    if text is not None and text.strip().isdecimal():
        return int(text) > 1
    x, w = shape_of(node, given), shape_of(node, weight)
    transposed = layout is not None and layout.always_transposed
    return len(x) > 2 and len(w) > 2 and not transposed and x[1] != w[1]


def allows_tf32(graph: StepGraph) -> bool | None:
    """Whether convolutions may use TF32, as any of the step's recorded; None where none did.

    One setting holds for all; gradients do not record it.
    """
    ops, calls = graph.trace.ops, graph.trace.calls
    said = set()
    for node in graph.nodes:
        if is_convolution(node):
            around = [calls[ops.call[row]] for row in graph.above(node) if ops.call[row] >= 0]
            said |= {text for call in (node.call, *around) if (text := _recorded(call))}
    return any(map(is_true, said)) if said else None


def _recorded(call: OpCall) -> str | None:
    return call.value(_ALLOWS_TF32.get(call.name, -1))
