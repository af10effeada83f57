"""Seen: the device waits while a model is compiled inside steps.

Instead: find what changes with `TORCH_LOGS=recompiles`; mark sizes that change as dynamic, or pad them to a
few; a loop that is long enough, with what it compiles once left out of the recording.

Saves: at most the time in which the device waits for the compiler.

When not: the sizes are new only while the recording runs.

Left out: waits of less than 1 % of the window. The first step compiles what later ones use again: of the
first one no more is counted than of another, and where it is the only one, or the trace names no steps, no
time is promised.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.idle_claims import claimed_idle, idle_claims
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph

_WAIT_SHARE = 0.01  # of the window
_WARM_UP = "Record later: with a schedule that waits until everything is compiled."


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where compilation is a visible part of the window."""
    ns, share = claimed_idle(graph, "recompilation")
    if share < _WAIT_SHARE:
        return
    claims = idle_claims(graph)
    compiling = int((claims.each_step("recompilation") > 0).sum())
    evidence = wait_evidence(graph, ns, share)
    if graph.has_steps:
        evidence += f"; {compiling} of {len(graph.judged.steps)} steps compile"
    recurring = claims.recurring_ns("recompilation") / graph.step_count
    if recurring > 0 and graph.has_steps:
        yield waiting(graph, recurring, evidence)
    else:
        yield waiting(graph, 0.0, evidence, action=_WARM_UP, snippet=_SCHEDULE, again=False)


_SCHEDULE = "schedule = torch.profiler.schedule(wait=5, warmup=2, active=3)"

RULE = Rule(
    "recompilation", __doc__ or "", find,
    title="The device waits while the model is compiled again",
    action="Look up what is compiled again and why; mark sizes that change as dynamic, or pad them to a few.",
    snippet="TORCH_LOGS=recompiles python train.py\ntorch._dynamo.mark_dynamic(batch, 1)",
    caveats=("code for sizes that are dynamic may be somewhat slower",),
    needs=(),
    docs="https://docs.pytorch.org/docs/stable/torch.compiler_troubleshooting.html",
)  # fmt: skip
