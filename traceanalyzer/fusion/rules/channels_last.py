"""Seen: convolutions surrounded by kernels that change the layout of images (`nchwToNhwc`, `nhwcToNchw`).

Instead: `model.to(memory_format=torch.channels_last)`, and the input likewise.

Saves: at most the time of those kernels.

When not: an operator in between does not support the layout and copies back; few channels; depthwise
layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, steps
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration

_LAYOUT = re.compile(r"nchwToNhwc|nhwcToNchw|nchw2nhwc|nhwc2nchw|batched_transpose", re.IGNORECASE)
_SHARE = 0.005  # of busy time


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators: the kernels are parts of convolutions."""
    kernels = [kernel for row in graph.rows for kernel in row.kernel_names]
    time = sum(kernel.time_ns for kernel in kernels if _LAYOUT.search(kernel.name))
    if time and time >= _SHARE * graph.busy_ns:
        ns = time / steps(graph)
        told = f"layout kernels take {duration(ns)} a step"
        yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=told, where="the convolutions")


RULE = Rule(
    "channels_last", __doc__ or "", find,
    title="Convolutions change the layout of their images back and forth",
    action="Hold model and input in channels_last.",
    snippet="model = model.to(memory_format=torch.channels_last)\n"
    "x = x.to(memory_format=torch.channels_last)",
    caveats=("every operator in between must support the layout",),
    docs="https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",
)  # fmt: skip
