"""Seen: `nn.DataParallel`: one process copies the model to several GPUs in every step, and gathers results.

Instead: `DistributedDataParallel` with one process a GPU, started by `torchrun`: parameters stay where they
are, and gradients are averaged while backward still runs.

Saves: copying all parameters forward and adding up all gradients on one GPU backward; and one Python
interpreter that launches for all GPUs. No time is predicted: the trace of one process does not show how
several would overlap.

When not: the machine cannot run several processes, or data cannot be split into one part a process.

Left out: a DataParallel of one GPU, which copies nothing; DistributedDataParallel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.fusion.rules.base import Match, Rule, everywhere
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records.trace import passes

_FORWARD = "DataParallel.forward"
_COPIES = ("Broadcast", "Gather")  # torch/nn/parallel/_functions.py; neither runs with one GPU


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators."""
    count = {name: _calls(graph, name) for name in (_FORWARD, *_COPIES, "Scatter")}
    copies = [name for name in _COPIES if count[name]]
    if copies and (count[_FORWARD] or len(copies) == len(_COPIES) and count["Scatter"]):
        calls = " and ".join(f"{count[name]:,} of {name}" for name in copies)
        evidence = f"one process works on several GPUs, with {calls} per step"
        yield Match((), "T0", evidence=evidence, where=everywhere(graph), claims=False)


def _calls(graph: StepGraph, name: str) -> int:
    """How often this runs in the step."""
    ops, step = graph.trace.ops, graph.step
    named = passes(graph.trace.names, ops.name, name.__eq__)
    return int(np.count_nonzero(named & (ops.start_ns >= step.start_ns) & (ops.start_ns < step.end_ns)))


RULE = Rule(
    "data_parallel", __doc__ or "", find,
    title="DataParallel copies the model in every step",
    action="Use DistributedDataParallel with one process a GPU.",
    snippet="model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[local_rank])\n"
    "# torchrun --nproc-per-node=gpu train.py",
    caveats=("each process needs its own part of the data: DistributedSampler",),
    needs=("gpu",),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html",
)  # fmt: skip
