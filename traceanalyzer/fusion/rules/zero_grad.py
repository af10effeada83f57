"""Seen: gradients are filled with zeros before each backward pass.

Instead: `optimizer.zero_grad(set_to_none=True)`, the default since PyTorch 2.0: backward then writes the
gradients, instead of reading the zeros and adding to them.

Saves: filling every gradient, and adding to it: what backward computes becomes the gradient as it is.

When not: code reads `.grad` of a parameter that took no part in a step; gradients are views of a bucket.

Left out: gradients that are set to None already, for which no zeros are filled in; a backward pass inside a
CUDA graph, which writes to the same gradients each time.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.cost.tensors import is_list
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.gradient_accumulation import into_gradient
from traceanalyzer.fusion.rules.launch_bound import is_replayed
from traceanalyzer.fusion.savings import NOTHING
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """All fills below `zero_grad`, and as many additions to what they filled, as one match."""
    if is_replayed(graph):
        return
    filled = [
        node for node in graph.nodes
        if free(node) and node.name in ("zero", "_foreach_zero", "fill")
        and any("zero_grad" in scope for scope in graph.scopes(node))
    ]  # fmt: skip
    if filled:
        added = [node for node in graph.nodes if free(node) and into_gradient(graph, node)]
        first = added[: sum(_tensors(node) for node in filled)]
        saved = sum(node.bytes for node in (*filled, *first))
        yield Match((*filled, *first), "T0", NOTHING, bytes_saved=saved, where="zero_grad")


def _tensors(node: Node) -> int:
    return len(node.call.dims(0)) if is_list(node.call, 0) else 1


RULE = Rule(
    "zero_grad", __doc__ or "", find,
    title="Gradients are filled with zeros instead of being set to None",
    action="Set them to None: set_to_none=True is the default since torch 2.0.",
    snippet="optimizer.zero_grad(set_to_none=True)",
    caveats=("code that reads .grad of an unused parameter finds None",),
    needs=("backward",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html",
)  # fmt: skip
