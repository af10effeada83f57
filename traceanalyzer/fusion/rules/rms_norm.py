"""Seen: RMSNorm written out: a square, its mean, an addition, rsqrt and products, with casts around them.

Instead: `torch.nn.functional.rms_norm` or `torch.nn.RMSNorm` (one kernel on CUDA from PyTorch 2.8 on), or
`torch.compile`, or Liger's layer.

Saves: all but one read and one write of the activation; backward as much again, which is not counted here.

When not: an older PyTorch, or a CPU, where `rms_norm` itself is several operators: compile it there. Where
the product with the weight comes before or after the cast decides the last bits of the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, generated, sequences, surest
from traceanalyzer.fusion.step_graph import Free, StepGraph

# The mean is a sum and a division on a CPU.
_WRITTEN_OUT = re.compile(
    r"(?<!\S)(?<!sub )(?:copy )?(?:pow|mul|square) (?:mean|sum div) add (?:rsqrt|sqrt reciprocal|sqrt) "
    r"(?:mul|div) (?:copy )?(?:mul )?(?:copy )?"
)


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """The sequence as it is written, where the square and the product are of one size."""
    for nodes in sequences(graph, free, _WRITTEN_OUT):
        square = next(node for node in nodes if node.name in ("pow", "mul", "square"))
        first, last = nodes[0].cost, nodes[-1].cost
        if square.cost is None or first is None or last is None or first.read_bytes < last.write_bytes / 2:
            continue
        after = generated(graph, nodes, first.read_bytes + last.write_bytes)
        before = sum(node.bytes for node in nodes)
        yield Match(tuple(nodes), surest(graph, nodes), after, bytes_saved=before - after.bytes)


RULE = Rule(
    "rms_norm", __doc__ or "", find,
    title="RMSNorm is written out",
    action="Call F.rms_norm or use nn.RMSNorm (one kernel on CUDA; needs torch ≥ 2.8 for that), or compile "
    "the module.",
    snippet="y = torch.nn.functional.rms_norm(x, (x.shape[-1],), weight, eps)",
    caveats=("where the weight is multiplied, before or after the cast, changes the last bits",
             "on a CPU F.rms_norm is several operators itself: compile the module there"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rms_norm.html",
    replacement="compiled",
)  # fmt: skip
