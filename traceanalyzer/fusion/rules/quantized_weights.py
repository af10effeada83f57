"""Seen: in inference, matmuls of few rows, limited by reading their weights, as decoding is.

Instead: weights of 8 or 4 bits, by torchao's `Int8WeightOnlyConfig` or `Int4WeightOnlyConfig` on a compiled
model, or by the serving library; or more requests at once, which read the same weights. In eager mode the
weights may be widened before each matmul: then the model is to be compiled as well.

Saves: half of the time to read 16-bit weights with 8 bits, three quarters with 4.

When not: the accuracy of the model must not change.

Left out: weights of which some are narrow already, where the rest was left out on purpose; training, and
traces without steps, in which no operand is known to be a weight; a small model, whose weights a cache holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from msgspec.structs import replace

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.matmuls import (
    LINEAR,
    half_matmuls,
    has_narrow_weights,
    is_trained,
    share_of_busy,
    time_and_share,
    time_ns,
    weight_shape,
)
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band

_BUSY_SHARE = 0.1  # of busy time
_WEIGHTS = 0.8  # of a matmul's bytes
_WIDE = 2  # bytes of an element in half precision


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all such matmuls of a step, by 8 bits; none where anything is trained."""
    if is_trained(graph) or not graph.has_steps or has_narrow_weights(graph):
        return
    memory = half_matmuls(graph, free, LINEAR, "memory_bound")
    nodes = [node for node, _ in memory if _share(node) >= _WEIGHTS]
    weights = sum(map(_weight_bytes, nodes))
    small = weights <= (graph.device.l2_bytes or 0)
    if not nodes or small or share_of_busy(graph, time_ns(nodes)) < _BUSY_SHARE:
        return
    half = sum(node.time_ns * _share(node) for node in nodes) / 2
    evidence = (
        f"matmuls limited by reading 16-bit weights take {time_and_share(graph, nodes)}; the saving is "
    )
    evidence += "that of 8 bits"
    saved = Band(0.0, half, half)  # what kernels for 8 bits reach of it is not known
    match = Match(
        tuple(nodes),
        "T3",
        saved=saved,
        bytes_saved=weights // 2,
        evidence=evidence,
        where="the linear layers",
    )
    compiled = any(graph.compiled(node) for node in graph.nodes)
    yield match if compiled else replace(match, action=_EAGER, snippet=_SNIPPET + _COMPILE)


def _share(node: Node) -> float:
    """Of its bytes, those of the weight."""
    return _weight_bytes(node) / node.bytes if node.bytes else 0.0


def _weight_bytes(node: Node) -> int:
    return _WIDE * prod(weight_shape(node) or (0,))


_EAGER = (
    "Quantize the weights to 8 bits and compile the model, which widens them inside the matmuls; or serve "
    "more requests at once."
)
_SNIPPET = (
    "from torchao.quantization import Int8WeightOnlyConfig, quantize_\n"
    "quantize_(model, Int8WeightOnlyConfig())"
)  # fmt: skip
_COMPILE = "\nmodel = torch.compile(model)"

RULE = Rule(
    "quantized_weights", __doc__ or "", find,
    title="Reading weights limits the matmuls",
    action="Quantize the weights to 8 bits, or serve more requests at once.",
    snippet=_SNIPPET,
    caveats=("accuracy must be checked", "kernels for small batches decide how much of the half is won"),
    needs=("steps", "shapes"),
    docs="https://docs.pytorch.org/ao/stable/",
    concerns_compiled=True,
)  # fmt: skip
