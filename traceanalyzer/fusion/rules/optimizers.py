"""What several rules ask of optimizers: their classes, and whether gradients are sparse."""

from __future__ import annotations

import re

from traceanalyzer.fusion.step_graph import StepGraph

STEP = re.compile(r"Optimizer\.step#(\w+)\.step")
"""How PyTorch annotates an optimizer's step."""
SPARSE = re.compile(r"sparse|coalesce|aten::_(?:indices|values)$")
"""Operators of sparse gradients."""


def optimizer_classes(graph: StepGraph) -> frozenset[str]:
    """Of all optimizers whose steps the trace annotates."""
    return frozenset(step[1] for name in graph.trace.names if (step := STEP.search(name)))
