"""Seen: collectives run while no compute kernel does: the device waits for its peers or for the links.

Instead: first the other ranks' traces beside this one, which tell waiting for a slower rank from moving
bytes; then what overlaps or shortens collectives: larger or fewer buckets, `no_sync()` while gradients are
added up, gradients in half precision (`bf16_compress_hook`), prefetching in FSDP.

Saves: at most the time in which communication runs alone.

When not: the time is spent waiting for a slower rank: then it is that rank's work that has to get faster.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, steps
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, percent

_LEAST, _MOST = 0.1, 0.95  # of busy time: where there is no compute there is nothing to hide behind


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such time is a visible part of busy time."""
    alone = graph.judged.verdict_ns("communication")
    busy = graph.busy_ns
    if _LEAST * busy <= alone <= _MOST * busy and alone:
        ns = alone / steps(graph)
        told = f"collectives run alone for {duration(ns)} a step, {percent(alone / busy)} of busy time"
        yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=told, where="the whole step")


RULE = Rule(
    "exposed_communication", __doc__ or "", find,
    title="Communication is not hidden behind compute",
    action="Report on all ranks at once to see which one the others wait for; then overlap collectives with "
    "compute, or make them fewer and smaller.",
    snippet="traceanalyze report FOLDER_WITH_ONE_TRACE_A_RANK",
    caveats=("one rank's trace does not tell waiting for a slower rank from moving bytes",),
    docs="https://docs.pytorch.org/docs/stable/notes/ddp.html",
)  # fmt: skip
