"""Seen: one step of several takes twice as long or longer, and copies 10 MB or more to the host that others
do not: it seems to save a checkpoint, and the device waits until that is written.

Instead: `torch.distributed.checkpoint.async_save`, which writes while training goes on; pinned memory for the
copies; less frequent checkpoints.

Saves: at most the time in which the device waits after the first of the copies, averaged over the window's
steps. The copies themselves remain.

When not: checkpoints are rare: the window then holds one by chance, and a run saves less per step.

Left out: long steps that copy less than 10 MB more to the host than others do; waits in work of the host that
has a name of its own, such as an evaluation; waits of less than 1 % of the window, and those that have other
causes, such as data loading.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.idle_claims import claimed_idle, idle_claims, saving_steps
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records.units import duration, si

_WAIT_SHARE = 0.01  # of the window


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such a wait is a visible part of the window."""
    ns, share = claimed_idle(graph, "checkpoint_saving")
    if not graph.on_gpu or share < _WAIT_SHARE:
        return
    waits, steps = idle_claims(graph).each_step("checkpoint_saving"), graph.judged.steps
    saving = [
        (steps[number], copied)
        for number, _, copied in saving_steps(graph)
        if waits[number : number + 1].any()
    ]
    each = (
        f"{step.name} takes {duration(step.device_ns)} and copies {si(copied, 'B')} to the host"
        for step, copied in saving
    )
    evidence = f"{wait_evidence(graph, ns, share)}; {', '.join(each)}"
    yield waiting(graph, ns, evidence, where=saving[0][0].name)


RULE = Rule(
    "checkpoint_saving", __doc__ or "", find,
    title="The device waits while a checkpoint seems to be written",
    action="Save checkpoints while training goes on, through pinned memory, or less often.",
    snippet="from torch.distributed.checkpoint import async_save\n\n"
    "saving = async_save(state, checkpoint_id=path)  # saving.result() before the next",
    caveats=("the saving is per step of this window: a run with fewer checkpoints saves less",),
    needs=("gpu", "launches"),
    docs="https://docs.pytorch.org/docs/stable/distributed.checkpoint.html",
)  # fmt: skip
