"""Seen: `scaled_dot_product_attention` is called, and runs as matmuls and a softmax of their own.

Instead: the same call with inputs that a fast kernel takes; what a call's own arguments show to be in the way
is named. On a GPU the flash kernel takes fp16 and bf16 with up to 256 channels a head and no mask but
`is_causal`; the memory-efficient one takes fp32 and masks too, with channels divisible by 8 (in fp32 by 4).
On a CPU the fused kernel takes no dropout, no mask that requires gradients, and heads of equal channels.

Saves: every pass over the scores, tokens by tokens for each head; backward too, where it is recorded.

When not: attention is differentiated twice, which the fast kernels do not support; a model needs its
attention dropout, or trains its mask. `torch.nn.attention.sdpa_kernel` with the kernels that are wanted says
why they do not apply.

Left out: calls that a fast kernel runs; on a CPU those whose mask is seen to be trained; fp64 on a GPU, which
no fast kernel takes, and more than 256 channels a head on a GPU, which the flash kernel does not take; up to
128 tokens whose scores a GPU's cache holds, for then there is little to save.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec.structs import replace

from traceanalyzer.fusion.rules.base import Match, Rule, runs
from traceanalyzer.fusion.rules.differentiated import is_differentiated
from traceanalyzer.fusion.rules.sdpa_refusals import adds_mask, refusal, unseen
from traceanalyzer.fusion.rules.unfused_attention import attention, backward_of
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import OpCall, Tier


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """What runs below the function's own name, one match a call; and the backward pass of each."""
    forward: dict[int, Match] = {}
    if not graph.has_scope(lambda name: "scaled_dot_product_attention" in name):
        return
    for run in runs(graph, free):
        calls: dict[int, list[Node]] = {}
        for node in run:
            row = _call(graph, node)
            if row is not None:
                calls.setdefault(row, []).append(node)
        for nodes in calls.values():
            match = _match(graph, nodes)
            if match is not None:
                softmax = next(node for node in nodes if "softmax" in node.name)
                forward[softmax.row] = match
    yield from forward.values()
    yield from backward_of(graph, free, forward)


def _match(graph: StepGraph, nodes: list[Node]) -> Match | None:
    names = [node.name for node in nodes]
    softmax = any("softmax" in name and "backward" not in name for name in names)
    if not softmax or names.count("bmm") + names.count("baddbmm") != 2:
        return None
    match = attention(graph, nodes, is_backward=False, without_dropout=True)
    if match is None:
        return None
    row = _call(graph, nodes[0])
    number = int(graph.trace.ops.call[row]) if row is not None else -1
    if number < 0:
        return replace(match, tier="T0")
    call = graph.trace.calls[number]
    seen, trained = refusal(call, on_gpu=graph.on_gpu), _trains_mask(graph, call, nodes)
    if trained == "yes":
        return None  # whatever else is changed, its gradient keeps it off the fused kernel
    if trained == "perhaps":
        seen = replace(seen, action=f"{seen.action} {_TRAINED}") if seen else unseen(call)
    if seen is None:
        return replace(match, tier="T0")
    tier: Tier = "T3" if trained == "perhaps" else "T0"
    return replace(match, tier=tier, title=f"{_TITLE}: {seen.why}", action=seen.action, snippet=seen.snippet)


def _trains_mask(graph: StepGraph, call: OpCall, nodes: list[Node]) -> Literal["yes", "no", "perhaps"]:
    """Whether the mask requires gradients, which a CPU's fused kernel does not compute."""
    if graph.on_gpu or nodes[0].phase != "forward" or not adds_mask(call):
        return "no"
    sums = (node for node in nodes if node.name == "add")
    masks = [graph.argument_tensors.get((node.place, 1)) for node in sums]
    writers = [mask[0] for mask in masks if mask is not None and mask[0] >= 0]
    if len(writers) != 1:
        return "perhaps"
    return "yes" if is_differentiated(graph, graph.nodes[writers[0]]) else "no"


def _call(graph: StepGraph, node: Node) -> int | None:
    """Row of the outermost call of the function that the node is a part of."""
    ops, names = graph.trace.ops, graph.trace.names
    rows = [row for row in graph.above(node) if "scaled_dot_product_attention" in names[ops.name[row]]]
    return rows[-1] if rows else None


_TRAINED = "A mask that is trained, as a learned bias of positions, keeps attention off it all the same."
_TITLE = "scaled_dot_product_attention falls back to separate kernels"

RULE = Rule(
    "attention_fallback", __doc__ or "", find,
    title=_TITLE,
    action="Ask scaled_dot_product_attention why: torch.nn.attention.sdpa_kernel around the call, "
    "with the kernels that are wanted, warns of what does not fit. "
    "Usual reasons: a mask that requires gradients, channels that 8 does not "
    "divide (in fp32 4), fp32 with the memory-efficient kernel turned off.",
    snippet="import torch\nfrom torch.nn.attention import SDPBackend, sdpa_kernel\n\n"
    "with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):\n"
    "    y = torch.nn.functional.scaled_dot_product_attention(q, k, v)",
    caveats=("on a GPU the flash kernel takes fp16 and bf16; fp32 runs on the memory-efficient kernel, which "
             "takes longer",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.attention.sdpa_kernel.html",
    replacement="attention",
    one_setting=True,
)  # fmt: skip
