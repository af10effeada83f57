"""Seen: large matmuls in bf16 or fp16, limited by arithmetic, on a device with FP8 peaks.

Instead: FP8 matmuls, by torchao, TransformerEngine or `torch._scaled_mm`.

Saves: at most half of their time, less the casts and the search for scales. No time is predicted.

When not: training that does not converge in FP8.

Left out: devices without FP8; dims that 16 does not divide; matmuls so small that the casts take as long as
is saved, or limited by memory; a model whose matmuls are FP8 already, where the rest was left out on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.matmuls import (
    half_matmuls,
    has_narrow_weights,
    is_trained,
    operand_shapes,
    share_of_busy,
    time_and_share,
    time_ns,
)
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_BUSY_SHARE = 0.3  # of busy time: below, converting a model is not worth the trouble
_ALIGNED = 16  # torch/aten/src/ATen/native/cuda/ScaledBlas.cpp: trailing dims of what _scaled_mm takes
_CAST_BYTES = 5  # an element: read for its scale, read again, written in FP8
_NAMES = ("mm", "addmm", "_grouped_mm")
_INFERENCE = "Try FP8 for the large linear layers, with torchao's quantization."
_QUANTIZED = (
    "from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, quantize_\n"
    "quantize_(model, Float8DynamicActivationFloat8WeightConfig())"
)


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, without a time, where such matmuls are a large part of busy time."""
    if not graph.device.peak("matrix", "fp8") or has_narrow_weights(graph):
        return
    trained = is_trained(graph)
    large = [
        node for node, _ in half_matmuls(graph, free, _NAMES, "compute_bound")
        if _aligned(node, trained) and _worth_casting(graph, node, trained)
    ]  # fmt: skip
    if large and share_of_busy(graph, time_ns(large)) >= _BUSY_SHARE:
        evidence = f"compute-bound matmuls in half precision take {time_and_share(graph, large)}"
        action, snippet = ("", "") if trained else (_INFERENCE, _QUANTIZED)
        yield Match(tuple(large), "T0", evidence=evidence, where="the whole model", claims=False,
                    action=action, snippet=snippet)  # fmt: skip


def _aligned(node: Node, trained: bool) -> bool:
    """In training every dim is the inner one of some matmul; else the tokens are of none."""
    shapes = operand_shapes(node)
    if shapes is None:
        return False
    left, right = shapes
    dims = (*left[-2:], *right[-2:]) if trained else right[-2:]
    return all(size % _ALIGNED == 0 for size in dims)


def _worth_casting(graph: StepGraph, node: Node, trained: bool) -> bool:
    """Whether the faster arithmetic saves more than the casts take, at the roofs; weights are cast once
    where they are not trained."""
    shapes, cost, device = operand_shapes(node), node.cost, graph.device
    half = device.peak("matrix", cost.precision) if cost else None
    fp8, bandwidth = device.peak("matrix", "fp8"), device.bandwidth_bytes_per_s
    if shapes is None or cost is None or not half or not fp8 or not bandwidth:
        return False
    cast = prod(shapes[0]) + (prod(shapes[1]) if trained else 0)
    return cost.flops * (1 / half - 1 / fp8) > _CAST_BYTES * cast / bandwidth


RULE = Rule(
    "fp8_matmul", __doc__ or "", find,
    title="Matmuls in half precision could be FP8",
    action="Try FP8 for the large linear layers, with torchao's float8 training or TransformerEngine.",
    snippet="from torchao.float8 import convert_to_float8_training\nconvert_to_float8_training(model)",
    caveats=("accuracy must be checked, in training convergence",
             "no time is predicted: casts and scales take a part of the gain"),
    needs=("gpu", "shapes"),
    docs="https://docs.pytorch.org/ao/stable/",
    concerns_compiled=True,
)  # fmt: skip
