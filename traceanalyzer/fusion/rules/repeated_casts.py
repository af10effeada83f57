"""Seen: one tensor is cast to the same type several times per step: an activation for each layer that reads
it, a weight for each micro-batch.

Instead: cast once and reuse the result. Under autocast weights are cast once per `with` block, and
activations by every operator that needs them; parameters in bf16, with an optimizer that keeps fp32 copies,
need no casts.

Saves: every cast of a tensor but the first.

When not: the cast tensor is freed on purpose, because memory is short.

Left out: tensors that are written in between; tensors that are not proved to be one; casts that an activation
checkpoint runs again, for keeping their result is what it avoids.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.rules.base import Match, Rule, with_call
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration

_SOURCE = 1  # argument of copy_ that is read


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all repeated casts of tensors that an executed step identifies; else nothing."""
    seen: set[tuple[Tensor, str | None, str | None]] = set()
    repeated = []
    for node in with_call(graph, _casts):
        source = graph.argument_tensors.get((node.place, _SOURCE))
        if source is None or node.phase == "recompute" or not free(node):
            continue
        cast = source, node.call.dtype(0), node.call.dtype(1)
        if cast in seen:
            repeated.append(node)
        seen.add(cast)
    if repeated:
        time = graph.undisturbed_ns(repeated)
        evidence = f"{len(repeated)} casts per step of tensors that were cast to the same type before, "
        evidence += f"{duration(time)}; the largest has {max(node.elements for node in repeated):,} elements"
        saved = Band(0.85 * time, 0.95 * time, time)  # the first one's result may have left the caches
        yield Match(tuple(repeated), "T1", saved=saved, evidence=evidence, where="the whole step",
                    bytes_saved=sum(node.bytes for node in repeated))  # fmt: skip


def _casts(node: Node) -> bool:
    into, source = node.call.dtype(0), node.call.dtype(1)
    known = into is not None and source is not None
    return node.name == "copy" and known and into != source


RULE = Rule(
    "repeated_casts", __doc__ or "", find,
    title="The same tensors are cast again and again",
    action="Cast once and reuse the result; one autocast block for all micro-batches keeps cast weights.",
    snippet="x = x.to(torch.bfloat16)  # once, before what reads it",
    caveats=("the result of the cast stays in memory until its last use",),
    needs=("tensors",),
    docs="https://docs.pytorch.org/docs/stable/amp.html",
)  # fmt: skip
