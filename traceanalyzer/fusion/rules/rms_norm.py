"""Seen: RMSNorm written out: a square, its mean, an addition, rsqrt and multiplications, with casts around
them.

Instead: `torch.nn.functional.rms_norm` or `torch.nn.RMSNorm` (one kernel on CUDA from PyTorch 2.8 on), or
`torch.compile`, or Liger's layer.

Saves: all but one read and one write of the activation; backward as much again, which is not counted here.

When not: the last bits of the result must stay: where the weight is multiplied, before or after the cast,
decides them.

Left out: `rms_norm` that is called already, where an older PyTorch or a CPU runs it as several operators; a
mean that is not over the last dimension; layer normalizations, and scales of an optimizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.rules.base import Match, Rule, compilable, generated, sequences, surest
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

# The mean is a sum and a division on a CPU. A subtraction before the square makes it a layer normalization.
_WRITTEN_OUT = re.compile(
    r"(?<!\S)(?<!sub )(?<!sub copy )(?:copy )?(?:pow|mul|square) (?:mean|sum div) add "
    r"(?:rsqrt|sqrt reciprocal|sqrt) (?:mul|div) (?:copy )?(?:mul )?(?:copy )?"
)
_DIMENSION = 1  # argument of mean and sum
_ROOTS = ("rsqrt", "sqrt", "reciprocal")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """The sequence as it is written, where the square and the result are of one size."""
    for nodes in sequences(graph, compilable(graph, free), _WRITTEN_OUT, ("rsqrt", "sqrt")):
        first, last = nodes[0].cost, nodes[-1].cost
        if first is None or last is None or not _normalizes(nodes) or _called(graph, nodes):
            continue
        after = generated(graph, nodes, first.read_bytes + last.write_bytes)
        saved = sum(node.bytes for node in nodes) - after.bytes
        if saved > 0:
            yield Match(tuple(nodes), surest(graph, nodes), after, bytes_saved=saved)


def _normalizes(nodes: Sequence[Node]) -> bool:
    """Whether the rows of a tensor are squared, averaged, and multiplied by what comes of it."""
    square = next(node for node in nodes if node.name in ("pow", "mul", "square"))
    mean = next(node for node in nodes if node.name in ("mean", "sum"))
    root = max(index for index, node in enumerate(nodes) if node.name in _ROOTS)
    of_a_row = next(node for node in nodes if node.name == "add")
    return nodes[root + 1].elements == square.elements > of_a_row.elements and _over_rows(mean)


def _over_rows(mean: Node) -> bool:
    """Whether it is over the last dimension, as far as that is recorded."""
    over = re.findall(r"-?\d+", mean.call.value(_DIMENSION) or "")
    return over in ([], ["-1"], [str(len(mean.call.dims(0)) - 1)])


def _called(graph: StepGraph, nodes: Sequence[Node]) -> bool:
    """Whether it is `rms_norm` itself that runs as several operators here."""
    return "aten::rms_norm" in graph.scopes(nodes[0])


RULE = Rule(
    "rms_norm", __doc__ or "", find,
    title="RMSNorm is written out",
    action="Call F.rms_norm or use nn.RMSNorm (one kernel on CUDA; needs torch ≥ 2.8 for that), or compile "
    "the module{, module}.",
    snippet="y = torch.nn.functional.rms_norm(x, (x.shape[-1],), weight, eps)",
    caveats=("where the weight is multiplied, before or after the cast, changes the last bits",
             "on a CPU F.rms_norm is several operators itself: compile the module there"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rms_norm.html",
    replacement="compiled",
)  # fmt: skip
