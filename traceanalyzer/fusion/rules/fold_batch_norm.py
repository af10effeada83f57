"""Seen: in inference, or in a frozen part of a model, a batch normalization right behind a convolution.

Instead: fold it into the convolution's weight and bias, once (`torch.nn.utils.fuse_conv_bn_eval`);
`torch.compile` with frozen weights does so.

Saves: the normalization altogether: a read and a write of the activation.

When not: the same modules are trained again later.

Left out: in a step that trains, modules of which anything is differentiated, for only a frozen part beside
them, such as a teacher, can be folded; normalizations by the statistics of the batch; one with another
operator between it and the convolution; a convolution whose result is read elsewhere too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traceanalyzer.cost.tensors import is_true
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.convolutions import is_convolution
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.rules.matmuls import is_trained
from traceanalyzer.fusion.savings import NOTHING
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_MEAN, _TRAINING = 3, 5  # arguments of batch normalizations
_COLLECTS = re.compile(r"collect_statistics|bn_fw_tr|fw_train", re.IGNORECASE)  # kernels of training
_NORMS = (
    "native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "_native_batch_norm_legit_no_training",
)  # fmt: skip


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each normalization that reads what the convolution before it makes, where its module is not trained."""
    trained = is_trained(graph)
    for node in graph.nodes:
        if trained and not _is_frozen(graph, node):
            continue
        if free(node) and node.name in _NORMS and not _of_the_batch(graph, node):
            for edge in graph.into.get(node.place, ()):
                alone = len(graph.out_of[edge.producer]) == 1
                if alone and _convolves(graph, graph.nodes[edge.producer]):
                    yield Match((node,), edge.tier, NOTHING, bytes_saved=node.bytes)
                    break


def _is_frozen(graph: StepGraph, node: Node) -> bool:
    """Whether its outermost named module is known, and no operator of that is differentiated."""
    return bool(node.module) and _root(node) not in graph.once(_differentiated_roots)


def _differentiated_roots(graph: StepGraph) -> frozenset[str]:
    rows = {forward_of(graph, node) for node in graph.nodes if node.phase == "backward"} - {None}
    return frozenset(
        _root(node) for node in graph.nodes
        if node.phase == "backward" or node.row in rows or not rows.isdisjoint(graph.above(node))
    )  # fmt: skip


def _root(node: Node) -> str:
    return (node.module or "").partition(".")[0]


def _convolves(graph: StepGraph, node: Node) -> bool:
    """A convolution, or the addition of its bias by a kernel of its own."""
    return is_convolution(node) or "aten::_convolution" in graph.scopes(node)


def _of_the_batch(graph: StepGraph, node: Node) -> bool:
    """Whether its statistics are those of the batch, as in training and of a norm that keeps none."""
    if node.name == "_native_batch_norm_legit_no_training":
        return False
    training = node.call.value(_TRAINING)
    if training:
        return is_true(training) or bool(node.call.shapes) and not node.call.dims(_MEAN)
    row = graph.row_of(node)
    kernels = row.kernel_names if row is not None else ()
    return any(_COLLECTS.search(kernel.name) for kernel in kernels)


RULE = Rule(
    "fold_batch_norm", __doc__ or "", find,
    title="Batch normalizations could be folded into their convolutions",
    action="Fold the normalizations once after loading the model in eval mode.",
    snippet="conv = torch.nn.utils.fuse_conv_bn_eval(conv, bn)",
    caveats=("for what is not trained: in inference, or a frozen part such as a teacher",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fuse_conv_bn_eval.html",
)  # fmt: skip
