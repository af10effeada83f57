"""Seen: gradients of several backward passes are added up before the optimizer steps: each parameter's
gradient is read, added to and written once more for every pass but the first.

Instead: fewer, larger micro-batches where memory allows; of several losses their sum, and one backward pass.

Saves: three passes over all gradients for each backward pass less, and the launches of a smaller batch.

When not: the batch is as large as memory allows; this is then the cost of the batch size, and a small one.

Left out: one backward pass per step of the optimizer; pipeline parallelism, in which stages send tensors to
each other and which needs its micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration

_SCOPE = "AccumulateGrad"
_BETWEEN_STAGES = ("c10d::send", "c10d::recv_", "c10d::recv_any_source_", "nccl:send", "nccl:recv")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all additions behind the first backward pass since the optimizer last stepped."""
    if any(name.startswith(_BETWEEN_STAGES) for name in graph.trace.names):
        return
    added = tuple(node for node in _later_passes(graph) if free(node) and into_gradient(graph, node))
    if added:
        time = graph.undisturbed_ns(added)
        evidence = f"{len(added)} additions to gradients per step, {duration(time)}"
        yield Match(added, "T3", saved=Band(0.0, time, time), evidence=evidence,
                    bytes_saved=sum(node.bytes for node in added), where="gradients")  # fmt: skip


def _later_passes(graph: StepGraph) -> Iterator[Node]:
    """Nodes of backward passes that another one, and a forward pass, precede without a step in between."""
    passes, before = 0, None
    for node in graph.nodes:
        if node.phase == "optimizer":
            passes = 0
        elif node.phase == "backward" and before != "backward":
            passes += 1
        if node.phase == "backward" and passes > 1:
            yield node
        before = node.phase if node.phase in ("forward", "backward", "optimizer") else before


def into_gradient(graph: StepGraph, node: Node) -> bool:
    """Whether it adds to a gradient that is there already."""
    return node.name == "add" and any(_SCOPE in scope for scope in graph.scopes(node))


RULE = Rule(
    "gradient_accumulation", __doc__ or "", find,
    title="Gradients of several backward passes are added up",
    action="Use fewer, larger micro-batches where memory allows; add up several losses before backward().",
    snippet="(loss_a + loss_b).backward()",
    caveats=("where memory limits the micro-batch, this is its cost, and there is nothing to save",),
    needs=("backward",),
    docs="https://docs.pytorch.org/docs/stable/notes/autograd.html",
)  # fmt: skip
