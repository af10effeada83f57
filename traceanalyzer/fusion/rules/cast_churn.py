"""Seen: one tensor is cast to the same type several times in a step, as weights are under autocast without
its cache, or once for each micro-batch.

Instead: cast once and hand the result on; autocast with its cache (`cache_enabled=True`) round the whole
step; parameters in bf16 with an optimizer that keeps fp32 copies.

Saves: every cast of a tensor but the first.

When not: the tensor changes in between; the cast tensor is freed on purpose, because memory is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.scene import Node, Scene
from traceanalyzer.model import Band

Identity = tuple[str, int]  # of one tensor: as its last writer left it, or as it was before the step


def find(scene: Scene, free: Callable[[Node], bool]) -> Iterator[Match]:
    """One match for all repeated casts of tensors that an executed step tells apart; else nothing."""
    first: set[tuple[Identity, tuple[str | None, ...]]] = set()
    repeated = []
    for node in scene.nodes:
        source = _source(scene, node) if free(node) and _casts(node) else None
        if source is None:
            continue
        what = source, node.call.dtypes[:2]
        if what in first:
            repeated.append(node)
        first.add(what)
    if repeated:
        time = sum(node.time_ns for node in repeated)
        told = f"{len(repeated)} casts a step of tensors that were cast to the same type before, "
        told += f"{time / 1e6:.3g} ms; the largest has {max(node.elements for node in repeated):,} elements"
        saved = Band(0.85 * time, 0.95 * time, time)  # the first one's result may have left the caches
        yield Match(tuple(repeated), "T1", saved=saved, evidence=told, where="the whole step",
                    bytes_saved=sum(node.bytes for node in repeated))  # fmt: skip


def _casts(node: Node) -> bool:
    kinds = node.call.dtypes
    return node.name == "copy" and len(kinds) > 1 and None not in kinds[:2] and kinds[0] != kinds[1]


def _source(scene: Scene, node: Node) -> Identity | None:
    """What it reads, where that is one tensor and an executed step proves it."""
    made = [("made", edge.producer) for edge in scene.into.get(node.place, ()) if edge.tier == "T1"]
    before = [("before", read.origin) for read in scene.outer_of.get(node.place, ())]
    sources = [*made, *before]
    return sources[0] if len(sources) == 1 else None


RULE = Rule(
    "cast_churn", __doc__ or "", find,
    title="The same tensors are cast again and again",
    action="Cast once a step and hand the result on; leave autocast's cache on.",
    snippet="with torch.autocast(device_type, dtype=torch.bfloat16, cache_enabled=True):\n"
    "    loss = model(batch)",
    caveats=("the result of the cast stays in memory until its last use",),
    docs="https://docs.pytorch.org/docs/stable/amp.html",
    order=14,
)  # fmt: skip
