"""Seen: the device waits while the host is inside the wrapper that `torch.compile` generated, and launches
nothing for long.

Instead: `mode="reduce-overhead"` for what is compiled now: CUDA graphs replay the kernels without their
wrapper.

Saves: at most the time in which the device waits for the wrapper. Nothing where something else holds it up,
such as an allocation that left no row: the trace does not say what in it takes long.

When not: shapes change from step to step, the compiled code waits for a result on the host or changes its
inputs, or results of one step are read after the next has begun: graphs keep their inputs at fixed addresses,
and their memory in a pool of their own.

Left out: waits of less than 5 % of the window; steps whose kernels graphs launch already; steps that wait
longer for data, where the device would only wait for that instead. Where the trace names no steps, no time is
promised: it may be what comes once; nor what only the first of several steps waits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.fusion.idle_claims import claimed_idle, idle_claims
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.rules.launch_bound import is_replayed
from traceanalyzer.fusion.step_graph import Free, StepGraph

_WAIT_SHARE = 0.05  # of the window


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such waits are a visible part of the window."""
    ns, share = claimed_idle(graph, "compiled_launches")
    if not graph.on_gpu or share < _WAIT_SHARE or claimed_idle(graph, "data_loading")[1] > share:
        return
    if is_replayed(graph):
        return
    evidence = f"{wait_evidence(graph, ns, share)}, while the host is in {_wrapper(graph)}"
    recurring = idle_claims(graph).recurring_ns("compiled_launches") / graph.step_count
    yield waiting(graph, recurring, evidence, again=graph.has_steps and recurring > 0)


def _wrapper(graph: StepGraph) -> str:
    """The name of most of such time."""
    idle, ns = graph.judged.idle, idle_claims(graph).ns("compiled_launches")
    waited = np.zeros(len(graph.trace.names) + 1, np.int64)
    np.add.at(waited, idle.name, ns)  # -1 is the last entry
    return graph.trace.names[int(np.argmax(waited[:-1]))]


RULE = Rule(
    "compiled_launches", __doc__ or "", find,
    title="The device waits for the wrapper of compiled code",
    action="Compile with mode=\"reduce-overhead\" what is compiled now: CUDA graphs then replay its kernels "
           "without the wrapper.",
    snippet="compiled = torch.compile(model, mode=\"reduce-overhead\")  # where it is compiled now",
    caveats=("shapes must not change, and nothing inside may wait for results on the host",
             "graphs keep their inputs at fixed addresses and their memory in a pool of their own: what a "
             "step returns is overwritten by the next",
             "the trace does not say what in the wrapper takes long: where that is no launching, nothing is "
             "saved"),
    needs=("gpu", "launches"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.compile.html",
)  # fmt: skip
