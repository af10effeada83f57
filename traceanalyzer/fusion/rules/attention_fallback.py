"""Seen: `scaled_dot_product_attention` is called, and runs as matmuls and a softmax of their own.

Instead: the same call with inputs that a fast kernel takes: fp16 or bf16, up to 256 channels a head, sizes
divisible by 8, no mask where `is_causal` says the same.

Saves: every pass over the scores, tokens by tokens for each head; backward too, where it is recorded.

When not: the inputs cannot be changed so: dropout on a CPU, fp64 or more than 256 channels a head on a GPU,
which no fast kernel takes; or attention is computed twice to differentiate it twice.
`torch.nn.attention.sdpa_kernel` with the kernel that is wanted tells why it does not apply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from traceanalyzer.fusion.rules.base import Match, Rule, runs
from traceanalyzer.fusion.rules.unfused_attention import attention, backward_of
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """What runs below the function's own name, one match a call; and the backward pass of each."""
    found: dict[int, Match] = {}
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
                found[softmax.row] = match
    yield from found.values()
    yield from backward_of(graph, free, found)


def _match(graph: StepGraph, nodes: list[Node]) -> Match | None:
    names = [node.name for node in nodes]
    softmax = any("softmax" in name and "backward" not in name for name in names)
    if not softmax or names.count("bmm") + names.count("baddbmm") != 2:
        return None
    match = attention(graph, nodes, is_backward=False)
    return replace(match, tier="T0") if match is not None else None


def _call(graph: StepGraph, node: Node) -> int | None:
    """Row of the outermost call of the function that the node is a part of."""
    ops, names = graph.trace.ops, graph.trace.names
    rows = [row for row in graph.above(node) if "scaled_dot_product_attention" in names[ops.name[row]]]
    return rows[-1] if rows else None


RULE = Rule(
    "attention_fallback", __doc__ or "", find,
    title="scaled_dot_product_attention falls back to separate kernels",
    action="Ask it why: torch.nn.attention.sdpa_kernel(SDPBackend.FLASH_ATTENTION) around the call warns "
    "of what does not fit. Usual reasons: fp32 inputs, a mask that requires gradients, head sizes that no "
    "kernel takes.",
    snippet="with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):\n"
    "    y = torch.nn.functional.scaled_dot_product_attention(q, k, v)",
    caveats=("in fp32 the memory-efficient kernel is slower on matrix engines than half precision",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.attention.sdpa_kernel.html",
    replacement="attention",
)  # fmt: skip
