"""Seen: in inference, a batch normalization right behind a convolution.

Instead: fold it into the convolution's weight and bias, once (`torch.nn.utils.fuse_conv_bn_eval`);
`torch.compile` with frozen weights does so.

Saves: the normalization altogether: a read and a write of the activation.

When not: in training, where its statistics are those of the batch; where another operator stands in
between.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.savings import NOTHING
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_NORMS = (
    "native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "_native_batch_norm_legit_no_training",
)  # fmt: skip


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each normalization that reads what the convolution before it makes; none where anything is trained."""
    if any(node.phase in ("backward", "optimizer") for node in graph.nodes):
        return
    for node in graph.nodes:
        if free(node) and node.name in _NORMS and not _training(node):
            for edge in graph.into.get(node.place, ()):
                if "conv" in graph.nodes[edge.producer].name:
                    yield Match((node,), edge.tier, NOTHING, bytes_saved=node.bytes)
                    break


def _training(node: Node) -> bool:
    return len(node.call.concrete) > 5 and node.call.concrete[5] in ("True", "true", "1")


RULE = Rule(
    "fold_batch_norm", __doc__ or "", find,
    title="Batch normalizations could be folded into their convolutions",
    action="Fold them once after loading the model in eval mode.",
    snippet="conv = torch.nn.utils.fuse_conv_bn_eval(conv, bn)",
    caveats=("for inference only",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fuse_conv_bn_eval.html",
)  # fmt: skip
