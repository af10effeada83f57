"""Seen: the norm of every gradient by a kernel of its own, and as many products to scale them.

Instead: `torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True)`: lists of gradients a kernel.

Saves: launches. The gradients are read and written as before, so no kernel time is predicted.

When not: gradients lie on several devices or are sparse.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import duration

_MANY = 16
_NORMS = ("linalg_vector_norm", "norm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all norms outside of modules and backward, where they are many and no list's."""
    norms = [node for node in graph.nodes if free(node) and node.name in _NORMS and not _of_a_layer(node)]
    if graph.on_gpu and len(norms) >= _MANY:
        time = sum(node.time_ns for node in norms)
        told = f"{len(norms)} norms a step, one launch each, {duration(time)}"
        yield Match(tuple(norms), "T0", evidence=told, where="gradient clipping")


def _of_a_layer(node: Node) -> bool:
    return node.module is not None or node.phase in ("forward", "backward", "recompute")


RULE = Rule(
    "gradient_clipping", __doc__ or "", find,
    title="Gradients are clipped one by one",
    action="Clip them as lists.",
    snippet="torch.nn.utils.clip_grad_norm_(model.parameters(), limit, foreach=True)",
    caveats=("saves launches, not kernel time",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html",
)  # fmt: skip
