"""Seen: a cross-entropy over many classes: casts, log-softmax and the loss, each a pass over the logits.

Instead: `torch.compile` for the loss, or Liger's cross-entropy: one pass forward, one backward. Where
memory is short rather than time, `torch.nn.functional.linear_cross_entropy` (from PyTorch 2.13 on) or
Liger's fused linear cross-entropy never store the logits; measured, these are slower, not faster.

Saves: the passes over the logits beyond one forward and two backward.

When not: the logits are needed after the loss, as to measure accuracy: then they are read once more.

Left out: a loss over fewer than 1000 classes, which is small beside all else; code that is compiled already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, generated, sequences, surest
from traceanalyzer.fusion.rules.matmuls import shape_of
from traceanalyzer.fusion.step_graph import Free, StepGraph

_CLASSES = 1000
_FORWARD = re.compile(r"(?<!\S)(?:copy )?_log_softmax (?:nll_loss_forward|nll_loss2d_forward) ")
_BACKWARD = re.compile(
    r"(?<!\S)(?:nll_loss_backward|nll_loss2d_backward) _log_softmax_backward_data (?:copy )?"
)


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Forward and backward apart."""
    for pattern in (_FORWARD, _BACKWARD):
        for nodes in sequences(graph, free, pattern, ("_log_softmax", "_log_softmax_backward_data")):
            softmax = next(node for node in nodes if "log_softmax" in node.name)
            dims = shape_of(softmax, 0)
            if len(dims) < 2 or dims[1] < _CLASSES or softmax.cost is None:
                continue
            first, last = nodes[0].cost, nodes[-1].cost
            if first is None or last is None:
                continue
            is_backward = "backward" in softmax.name
            logits = last.write_bytes if is_backward else first.read_bytes
            passes = 2 if is_backward else 1
            after = generated(graph, nodes, passes * logits)
            saved = sum(node.bytes for node in nodes) - after.bytes
            if saved > 0:
                yield Match(tuple(nodes), surest(graph, nodes), after, bytes_saved=saved)


RULE = Rule(
    "cross_entropy", __doc__ or "", find,
    title="The loss passes over the logits several times",
    action="Compile the loss, or take a fused cross-entropy. To save memory rather than time, "
    "F.linear_cross_entropy (torch ≥ 2.13) never stores the logits.",
    snippet="loss = torch.compile(torch.nn.functional.cross_entropy)(logits, target)",
    caveats=("losses that fuse the last linear layer save memory and cost time",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html",
    replacement="compiled",
)  # fmt: skip
