"""Seen: in inference, large matmuls in half precision, limited by arithmetic, on a device whose matrix
engine skips zeros in weights of which two in four are zero.

Instead: weights pruned 2:4 and converted by `torch.sparse.to_sparse_semi_structured`.

Saves: at most half of their time. No time is predicted: kernels reach less of the doubled peak.

When not: a model that loses accuracy when two of its weights in four are pruned.

Left out: training, and traces without steps, in which no operand is known to be a weight; devices that skip
no zeros; dims that 64 does not divide; weights of which some are pruned or quantized already, where the rest
was left out on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.matmuls import (
    half_matmuls,
    has_narrow_weights,
    is_trained,
    share_of_busy,
    time_and_share,
    time_ns,
    weight_shape,
)
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_BUSY_SHARE = 0.5  # of busy time: pruning a model is a project of its own
_ALIGNED = 64
_NAMES = ("mm", "addmm")
_PRUNED = ("sparse_semi_structured", "_cslt_")  # operators of weights that are pruned already


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, without a time, where such matmuls are most of busy time and nothing is trained."""
    if is_trained(graph) or not graph.has_steps:  # without steps nobody knows which operand is a weight
        return
    if not graph.device.peak("matrix", "tf32"):  # Ampere and later, which skip zeros as well
        return
    if has_narrow_weights(graph) or _is_pruned(graph):
        return
    large = half_matmuls(graph, free, _NAMES, "compute_bound")
    nodes = [node for node, _ in large if _aligned(node)]
    if nodes and share_of_busy(graph, time_ns(nodes)) >= _BUSY_SHARE:
        evidence = f"compute-bound matmuls of weights take {time_and_share(graph, nodes)}"
        yield Match(tuple(nodes), "T0", evidence=evidence, where="the linear layers", claims=False)


def _is_pruned(graph: StepGraph) -> bool:
    return any(word in node.call.name for node in graph.nodes for word in _PRUNED)


def _aligned(node: Node) -> bool:
    weight = weight_shape(node)
    return weight is not None and all(size % _ALIGNED == 0 for size in weight)


RULE = Rule(
    "sparse_weights", __doc__ or "", find,
    title="Matmuls could skip zeros in pruned weights",
    action="Prune two weights in four, fine-tune, and convert the linear layers.",
    snippet="layer.weight = torch.nn.Parameter(torch.sparse.to_sparse_semi_structured(layer.weight))",
    caveats=("accuracy must be checked", "no time is predicted: the gain depends on sizes and kernels"),
    needs=("gpu", "steps", "shapes"),
    docs="https://docs.pytorch.org/docs/stable/sparse.html",
    concerns_compiled=True,
)  # fmt: skip
