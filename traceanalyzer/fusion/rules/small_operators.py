"""Seen: on a CPU, hundreds of operators so small that calling each takes longer than its work.

Instead: `torch.compile`, which makes one call of many; larger batches, so that each call works on more; one
thread (`OMP_NUM_THREADS=1`) where several share such work, for waking the others takes longer.

Saves: at most the time of these calls, without what the profiler added to it; how much of that larger batches
or fewer threads save no trace shows. Those in chains that another rule has found are counted there.

When not: batches are small by need, as for one request at a time.

Left out: fewer than 200 such operators, or less than 20 % of the step in them; operators whose roofs are not
known; code that is compiled already; GPUs, whose launches are another matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import COMPILE_DOCS, Match, Rule, everywhere, started
from traceanalyzer.fusion.rules.data_loading import places_in_loader
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, percent

_LEAST_OPERATORS = 200  # per step
_STEP_SHARE = 0.2  # of the step
_PROFILER_SHARE = 0.5  # of such a call's time at least is what recording it adds, where nothing else is known


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all of them together; those that another rule has found are left to it."""
    if graph.on_gpu:
        return
    loading = places_in_loader(graph)
    small = [node for node in graph.nodes if node.place not in loading and _is_small(graph, node)]
    ns = sum(node.time_ns for node in small)
    if len(small) < _LEAST_OPERATORS or ns < _STEP_SHARE * graph.step_ns:
        return
    left = [node for node in small if free(node)]
    left_ns = sum(node.time_ns for node in left)
    threads = graph.recording.threads if graph.recording else None
    each = f"{len(small):,} operators per step take {duration(ns / len(small))} each"
    evidence = f"{each}, and their work takes less than an empty call: {duration(ns)}, "
    evidence += f"{percent(ns / graph.step_ns)} of the step"
    evidence += f", {duration(ns - left_ns)} of it in what other changes save" if left_ns < ns else ""
    shared = bool(threads and threads > 1)
    most = left_ns / max(1.0, graph.slowed_times)
    yield Match(
        tuple(left), "T3", saved=Band(0.0, _PROFILER_SHARE * most, most),
        evidence=f"{evidence}; {threads} threads share them" if shared else evidence,
        where=everywhere(graph), action=_ONE_THREAD_FIRST if shared else "",
        snippet=f"OMP_NUM_THREADS=1 {started(graph)}" if shared else "",
    )  # fmt: skip


def _is_small(graph: StepGraph, node: Node) -> bool:
    """Whether its work would be done before an empty call returns, however long it took."""
    row = graph.row_of(node)
    if row is None or graph.compiled(node):
        return False
    brief = row.roof_ns is not None and row.roof_ns <= graph.floor_ns * row.calls
    return brief or row.verdict == "latency_bound"


_FEWER = "Make the calls fewer: torch.compile for the model, or larger batches."
_ONE_THREAD_FIRST = (
    "Try one thread first. Or make the calls fewer: torch.compile for the model, or larger batches."
)

RULE = Rule(
    "small_operators", __doc__ or "", find,
    title="Calling small operators takes most of their time",
    action=_FEWER,
    snippet="model = torch.compile(model)",
    caveats=("the profiler adds to each call: without it they take less",),
    needs=("cpu",),
    docs=COMPILE_DOCS,
)  # fmt: skip
