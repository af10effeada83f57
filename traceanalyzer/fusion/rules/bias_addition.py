"""Seen: a matmul, and an addition of a vector to what it has just written.

Instead: `torch.nn.functional.linear(x, weight, bias)` or `torch.addmm`: the matmul's kernel adds the bias
before it writes.

Saves: the addition: a read and a write of the matmul's result.

When not: the library adds the bias by a kernel of its own too, as it does for some sizes: then little is
saved.

Left out: a matmul's result that is read without the bias as well; a bias of another type, which the matmul
does not take; one that is scaled before it is added; a bias that a matmul has been given already.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.matmuls import shape_of
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each addition of a vector that is known, or likely, to be all that a matmul's result is for."""
    for node in graph.nodes:
        if not (free(node) and node.name == "add" and node.phase != "backward" and _adds_a_vector(node)):
            continue
        for edge in graph.into.get(node.place, ()):
            alone = len(graph.out_of[edge.producer]) == 1
            if graph.nodes[edge.producer].name == "mm" and alone:
                time = graph.undisturbed_ns([node])
                saved = Band(0.5 * time, 0.8 * time, time)  # the library may add it in a kernel of its own
                yield Match((node,), edge.tier, saved=saved, bytes_saved=node.bytes)
                break


def _adds_a_vector(node: Node) -> bool:
    """A tensor of several dims, and one of the same type that has its last alone."""
    sizes = [shape_of(node, 0), shape_of(node, 1)]
    scaled = (node.call.value(2) or "1").strip() not in ("1", "1.", "1.0")
    if not all(sizes) or scaled or node.call.dtype(0) != node.call.dtype(1):
        return False
    large, small = sorted(sizes, key=len, reverse=True)
    return len(large) > 1 and len(small) == 1 and small[0] == large[-1] != 1


RULE = Rule(
    "bias_addition", __doc__ or "", find,
    title="Biases are added by kernels of their own",
    action="Give the bias to the matmul: F.linear, nn.Linear or addmm.",
    snippet="y = torch.nn.functional.linear(x, weight, bias)",
    caveats=("where the result without the bias is needed too, the addition stays",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html",
)  # fmt: skip
