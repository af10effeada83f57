"""Seen: collectives run while no compute kernel does: the device waits for its peers or for the links.

Instead: first the other ranks' traces beside this one, which distinguish waiting for a slower rank from
moving bytes; then what overlaps or shortens collectives: larger or fewer buckets, `no_sync()` while gradients
are added up, gradients in half precision (`bf16_compress_hook`), prefetching in FSDP.

Saves: at most the time in which communication runs alone.

When not: the time is spent waiting for a slower rank: then that rank's work has to become faster.

Left out: communication that compute hides already; less than a tenth of busy time; more than 95 % of it,
where no compute is there to hide behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, percent

_SMALLEST_SHARE, _LARGEST_SHARE = 0.1, 0.95  # of busy time: beyond, no compute is there to hide behind


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such time is a visible part of busy time."""
    alone = graph.judged.verdict_ns("communication")
    busy = graph.busy_ns
    if _SMALLEST_SHARE * busy <= alone <= _LARGEST_SHARE * busy and alone:
        ns = alone / graph.step_count
        evidence = f"collectives run alone for {duration(ns)} per step, {percent(alone / busy)} of busy time"
        yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=evidence, where="the whole step")


RULE = Rule(
    "exposed_communication", __doc__ or "", find,
    title="Communication is not hidden behind compute",
    action="Overlap collectives with compute, or make them fewer and smaller; a report on all ranks at once "
    "tells first whether one of them is waited for.",
    snippet="traceanalyze report FOLDER_WITH_ONE_TRACE_A_RANK",
    caveats=("one rank's trace does not distinguish waiting for a slower rank from moving bytes",),
    needs=(),
    docs="https://docs.pytorch.org/docs/stable/notes/ddp.html",
)  # fmt: skip
