"""What several rules ask of optimizers: their classes, sparse gradients, and what a closure runs."""

from __future__ import annotations

import re

import numpy as np

from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records.recording import MODULE_ANNOTATION
from traceanalyzer.records.trace import PHASES, OpKind, nearest, passes

STEP = re.compile(r"Optimizer\.step#(\w+)\.step")
"""How PyTorch annotates an optimizer's step."""
SPARSE = re.compile(r"sparse|coalesce|aten::_(?:indices|values)$")
"""Operators of sparse gradients."""


def optimizer_classes(graph: StepGraph) -> frozenset[str]:
    """Of all optimizers whose steps the trace annotates."""
    return frozenset(step[1] for name in graph.trace.names if (step := STEP.search(name)))


def closure_ends(graph: StepGraph) -> dict[int, int]:
    """Of each annotation of a step that was given a closure: its row, and when the last of the passes that
    ran inside of it ended. `step` calls the closure before it does anything else (torch/optim).

    On a GPU the backward pass has a thread of its own, in which no annotation encloses it. A step that runs
    inside a pass, in a hook of a gradient, has no closure.
    """
    ops, names = graph.trace.ops, graph.trace.names
    annotation = ops.kind == OpKind.ANNOTATION
    node = ops.kind == OpKind.AUTOGRAD
    phases = [PHASES.index(phase) for phase in ("forward", "backward", "recompute")]
    of_pass = node | np.isin(ops.phase, phases)
    of_pass |= annotation & passes(names, ops.name, lambda name: name.startswith(MODULE_ANNOTATION))
    starts, ends = ops.start_ns[of_pass], ops.end_ns[of_pass]
    in_hook = nearest(ops.parent, node) >= 0
    shown = (ops.start_ns >= graph.step.start_ns) & (ops.start_ns < graph.step.end_ns)
    steps = np.flatnonzero(shown & annotation & passes(names, ops.name, STEP.search) & ~in_hook)
    found = {}
    for row in steps.tolist():
        inside = (starts >= ops.start_ns[row]) & (starts < ops.end_ns[row])
        if inside.any():
            found[row] = int(ends[inside].max())
    return found
