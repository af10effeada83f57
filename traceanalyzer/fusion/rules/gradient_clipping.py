"""Seen: after backward, the norm of every gradient by a kernel of its own, and as many multiplications to
scale them.

Instead: `torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True)`: one kernel for a list of
gradients.

Saves: launches. The gradients are read and written as before, so no kernel time is predicted.

When not: the norm of each gradient is wanted by itself.

Left out: norms of a list already; norms that an optimizer takes of its parameters, and those that only a log
reads; steps with sparse gradients, of which there are no lists; a CPU, which launches nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.optimizers import SPARSE
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import duration

_FEWEST_NORMS = 16
NORMS = ("linalg_vector_norm", "norm")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all norms between backward and the optimizer, where they are many and scale something."""
    if not graph.on_gpu or not any(node.phase == "backward" for node in graph.nodes):
        return
    if graph.has_scope(SPARSE.search):
        return
    outside = [node for node in graph.nodes if free(node) and outside_of_passes(node)]
    norms = [node for node in outside if node.name in NORMS and not _of_a_list(graph, node)]
    if len(norms) >= _FEWEST_NORMS and _scaled(norms, outside):
        time = sum(node.time_ns for node in norms)
        evidence = f"{len(norms)} norms per step, one launch each, {duration(time)}"
        yield Match(tuple(norms), "T0", evidence=evidence, where="gradient clipping",
                    claims=False)  # fmt: skip


def outside_of_passes(node: Node) -> bool:
    """Whether it belongs to no module, no pass and no optimizer."""
    return node.module is None and node.phase is None


def _of_a_list(graph: StepGraph, node: Node) -> bool:
    """Whether an operator for lists (foreach) calls it."""
    return any(scope.startswith("aten::_foreach") for scope in graph.scopes(node))


def _scaled(norms: Sequence[Node], outside: Sequence[Node]) -> bool:
    """Whether most of the tensors that the norms are of are multiplied in place afterwards."""
    later = [node for node in outside if node.place > norms[0].place and node.call.name == "aten::mul_"]
    measured = Counter(node.call.dims(0) for node in norms)
    multiplied = Counter(node.call.dims(0) for node in later)
    return 2 * (measured & multiplied).total() > len(norms)


RULE = Rule(
    "gradient_clipping", __doc__ or "", find,
    title="Gradients are clipped one by one",
    action="Clip gradients as lists.",
    snippet="torch.nn.utils.clip_grad_norm_(model.parameters(), limit, foreach=True)",
    caveats=("saves launches, not kernel time",),
    needs=("gpu", "backward"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html",
)  # fmt: skip
