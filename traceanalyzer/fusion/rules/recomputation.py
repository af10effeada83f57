"""Seen: activation checkpointing: operators of the forward pass run again during the backward pass.

Instead: keep what is expensive to compute and compute again only what is cheap
(`create_selective_checkpoint_contexts`), checkpoint fewer layers, or none where memory allows.

Saves: at most the time of what is computed again. It costs the memory of what is then kept.

When not: memory is short, and the batch size that checkpointing makes possible is worth more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.scene import Node, Scene
from traceanalyzer.model import Band
from traceanalyzer.units import si

_SHARE = 0.01  # of the step


def find(scene: Scene, free: Callable[[Node], bool]) -> Iterator[Match]:
    """One match, without operators: other rules may speed up what is computed again."""
    again = [node for node in scene.nodes if node.phase == "recompute"]
    time = sum(node.time_ns for node in again)
    if not again or time < _SHARE * scene.step_ns:
        return
    kept = sum(node.cost.write_bytes for node in again if node.cost)
    told = f"{len(again)} operators of the forward pass run again in the backward pass, "
    told += f"{time / 1e6:.3g} ms a step; to keep what they make would take up to {si(kept, 'B')} of memory"
    yield Match((), "T0", evidence=told, where="checkpointed modules",
                saved=Band(0.4 * time, 0.7 * time, time))  # fmt: skip


RULE = Rule(
    "recomputation", __doc__ or "", find,
    title="The forward pass is computed a second time",
    action="Checkpoint only as much as memory asks for: keep products and attention, compute the rest again.",
    snippet="checkpoint(block, x, use_reentrant=False, context_fn=functools.partial(\n"
    "    create_selective_checkpoint_contexts, [torch.ops.aten.mm.default]))",
    caveats=("costs memory: the low end is that of a selective policy, the high end that of none",
             "faster kernels in checkpointed modules save a part of the same time"),
    docs="https://docs.pytorch.org/docs/stable/checkpoint.html",
    order=75,
)  # fmt: skip
