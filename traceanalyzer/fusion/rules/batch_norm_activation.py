"""Seen: in training, a batch normalization followed by an activation, and perhaps an addition; or a group
normalization followed by them.

Instead: `torch.compile` for the block: activation and addition join the pass that normalizes.

Saves: one read and one write of the activation for each operator that joins.

When not: the block needs the library's batch normalization, which can be faster than a generated one.

Left out: a batch normalization that uses stored statistics (inference), which is folded into the convolution
altogether; a normalization that nothing joins.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.cost.tensors import is_true
from traceanalyzer.fusion.regions import Region
from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, chains
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_JOINING = (
    "clamp_min", "relu", "silu", "gelu", "add", "threshold", "hardswish", "sigmoid", "mul", "leaky_relu",
)  # fmt: skip
_TRAINING = 5  # argument of native_batch_norm, cudnn_batch_norm and miopen_batch_norm


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Regions of such a normalization and element-wise operators, forward or backward."""
    yield from chains(graph, free, _norm_and_activation)


def _norm_and_activation(region: Region) -> bool:
    names = [name.removesuffix("_backward") for name in region.names]
    norms = [name for name in names if "batch_norm" in name or "group_norm" in name]
    others = [name for name in names if name not in norms]
    joining = bool(others) and all(name in _JOINING for name in others)
    return bool(norms) and joining and not any(_stored_statistics(node) for node in region.nodes)


def _stored_statistics(node: Node) -> bool:
    """Whether it normalizes by statistics from before, as in inference."""
    if "batch_norm" not in node.name or node.name.endswith("_backward"):
        return False
    training = node.call.value(_TRAINING)
    return "no_training" in node.name or bool(training) and not is_true(training or "")


RULE = Rule(
    "batch_norm_activation", __doc__ or "", find,
    title="Normalizations of images and their activations run as separate kernels",
    action="Compile the block that holds the normalizations{, module}.",
    snippet="{module} = torch.compile({module})",
    caveats=("a generated batch normalization can be slower than the library's: measure the block",),
    docs=COMPILE_DOCS,
    replacement="compiled",
    fixed_by_compiling_module=True,
)  # fmt: skip
