"""Seen: the device waits while the allocator asks the driver for memory, or gives it back, inside steps.

Instead: `PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True`, which lets blocks grow instead of freeing and
allocating others; no `torch.cuda.empty_cache()` in the loop; a smaller batch, or sizes that repeat.

Saves: at most the time in which the device waits for such calls.

When not: the memory that is in use fills the device: then only less of it helps.

Left out: waits of less than 1 % of the window. A first step allocates what later ones use again: of the first
one no more is counted than of another, and where it is the only one, or the trace names no steps, no time is
promised unless memory is given back too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from traceanalyzer.fusion.idle_claims import claimed_idle, idle_claims
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph

_WAIT_SHARE = 0.01  # of the window
_MAX_NAMES = 3


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such calls are a visible part of the window."""
    ns, share = claimed_idle(graph, "memory_allocation")
    if not graph.on_gpu or share < _WAIT_SHARE:
        return
    calls = _calls(graph)
    called = ", ".join(f"{count} {name}" for name, count in calls.most_common(_MAX_NAMES))
    evidence = f"{wait_evidence(graph, ns, share)}; in the window: {called}"
    recurring = idle_claims(graph).recurring_ns("memory_allocation") / graph.step_count
    if len(graph.judged.steps) < 2:
        recurring = ns if any("Free" in name or "Unmap" in name for name in calls) else 0.0
    yield waiting(graph, recurring, evidence, again=recurring > 0)


def _calls(graph: StepGraph) -> Counter[str]:
    """How often the host made each of the calls that the device waits for."""
    trace, launches, idle = graph.trace, graph.trace.launches, graph.judged.idle
    mine = idle_claims(graph).ns("memory_allocation") > 0
    names = np.unique(idle.name[mine])
    window = graph.judged.window
    called = np.isin(launches.name, names) & (launches.end_ns > window.start_ns)
    called &= launches.start_ns < window.end_ns
    return Counter(trace.names[row] for row in launches.name[called].tolist())


RULE = Rule(
    "memory_allocation", __doc__ or "", find,
    title="The device waits while the allocator asks the driver for memory",
    action="Let the allocator's segments grow, do not empty its cache in the loop, or use a smaller batch.",
    snippet="PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True python train.py",
    caveats=("cudaFree also waits for all that the device still has to do",),
    needs=("gpu", "launches"),
    docs="https://docs.pytorch.org/docs/stable/notes/cuda.html",
)  # fmt: skip
