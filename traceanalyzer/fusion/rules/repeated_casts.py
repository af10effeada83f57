"""Seen: one tensor is cast to the same type several times in a step: an activation for each layer that reads
it, a weight for each micro-batch.

Instead: cast once and hand the result on. Under autocast weights are cast once for each `with` block, and
activations by every operator that wants them; parameters in bf16, with an optimizer that keeps fp32 copies,
need no casts.

Saves: every cast of a tensor but the first.

When not: the tensor changes in between; the cast tensor is freed on purpose, because memory is short.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration

_SOURCE = 1  # argument of copy_ that is read


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all repeated casts of tensors that an executed step tells apart; else nothing."""
    first: set[tuple[Tensor, tuple[str | None, ...]]] = set()
    repeated = []
    for node in graph.nodes:
        source = graph.argument_tensors.get((node.place, _SOURCE)) if free(node) and _casts(node) else None
        if source is None:
            continue
        what = source, node.call.dtypes[:2]
        if what in first:
            repeated.append(node)
        first.add(what)
    if repeated:
        time = graph.undisturbed_ns(repeated)
        told = f"{len(repeated)} casts a step of tensors that were cast to the same type before, "
        told += f"{duration(time)}; the largest has {max(node.elements for node in repeated):,} elements"
        saved = Band(0.85 * time, 0.95 * time, time)  # the first one's result may have left the caches
        yield Match(tuple(repeated), "T1", saved=saved, evidence=told, where="the whole step",
                    bytes_saved=sum(node.bytes for node in repeated))  # fmt: skip


def _casts(node: Node) -> bool:
    kinds = node.call.dtypes
    return node.name == "copy" and len(kinds) > 1 and None not in kinds[:2] and kinds[0] != kinds[1]


RULE = Rule(
    "repeated_casts", __doc__ or "", find,
    title="The same tensors are cast again and again",
    action="Cast once and hand the result on; one autocast block for all micro-batches keeps cast weights.",
    snippet="x = x.to(torch.bfloat16)  # once, before what reads it",
    caveats=("the result of the cast stays in memory until its last use",),
    docs="https://docs.pytorch.org/docs/stable/amp.html",
)  # fmt: skip
