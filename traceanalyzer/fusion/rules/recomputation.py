"""Seen: activation checkpointing: operators of the forward pass run again during the backward pass.

Instead: keep what is expensive to compute and compute again only what is cheap
(`create_selective_checkpoint_contexts`), checkpoint fewer layers, or none where memory allows.

Saves: at most the time of what is computed again. It costs the memory of what is then kept.

When not: memory is short, and the batch size that checkpointing makes possible is worth more.

Left out: a selective policy that keeps what is expensive already, so that no matmul, convolution or attention
runs again; of what runs again that which another suggestion speeds up.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.cost import operator_class
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.savings import WIDEST
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, si

_STEP_SHARE = 0.01  # of the step


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match; of operators that other rules speed up nothing is counted again."""
    again = [node for node in graph.nodes if node.phase == "recompute"]
    expensive = [node for node in again if _expensive(node)]
    if not expensive or graph.undisturbed_ns(again) < _STEP_SHARE * graph.step_ns:
        return
    kept = sum(node.cost.write_bytes for node in again if node.cost)
    evidence = f"{len(again)} operators of the forward pass run again in the backward pass, "
    evidence += (
        f"{duration(graph.undisturbed_ns(again))} per step, {duration(graph.undisturbed_ns(expensive))} "
    )
    evidence += "of it matmuls, convolutions and attention; to keep all that they make would take up to "
    evidence += f"{si(kept, 'B')} of memory"
    left = [node for node in again if free(node)]
    if not left:
        return
    time = graph.undisturbed_ns(left)
    if len(left) < len(again):
        evidence += f"; the saving counts {duration(time)} of it, which no other suggestion speeds up"
    low = max(graph.undisturbed_ns([node for node in left if _expensive(node)]), time / WIDEST)
    saved = Band(low, (low + time) / 2, time)
    yield Match(tuple(left), "T0", evidence=evidence, where="checkpointed modules", saved=saved)


def _expensive(node: Node) -> bool:
    """What a selective policy keeps."""
    return node.cost is not None and operator_class(node.call.name, None) == "tensor_contraction"


RULE = Rule(
    "recomputation", __doc__ or "", find,
    title="The forward pass is computed a second time",
    action="Checkpoint only as much as memory asks for: keep matmuls and attention, compute the rest again.",
    snippet="import functools\n"
    "from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts\n\n"
    "aten = torch.ops.aten\n"
    "kept = [aten.mm.default, aten.addmm.default, aten.bmm.default, aten.convolution.default,\n"
    "        aten._scaled_dot_product_flash_attention.default,\n"
    "        aten._scaled_dot_product_cudnn_attention.default,\n"
    "        aten._scaled_dot_product_efficient_attention.default,\n"
    "        aten._scaled_dot_product_flash_attention_for_cpu.default]\n"
    "y = checkpoint(block, x, use_reentrant=False,\n"
    "               context_fn=functools.partial(create_selective_checkpoint_contexts, kept))",
    caveats=("costs memory: the low end keeps matmuls and attention, the high end everything",
             "what other suggestions save in checkpointed modules is not counted here"),
    needs=("backward",),
    docs="https://docs.pytorch.org/docs/stable/checkpoint.html",
    concerns_compiled=True,
)  # fmt: skip
