"""What figures of a suggestion are of: steps, one of them, or a trace that names none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Band, Tier

_PER_STEP = re.compile(r"\bper step\b")
_A_STEP = re.compile(r"\b(?:a|each|the) step\b")


def step_caveats(graph: StepGraph, band: Band | None, nodes: Sequence[Node], tier: Tier) -> Iterator[str]:
    """Which steps the saving is of, and whether the profiler may have made it up."""
    if band and not band.low and graph.perhaps_slowed_ns(nodes) and tier < "T3":
        times = f"{graph.slowed_times:.1f} times as long"
        yield f"the profiler made this step {times}, perhaps by slowing just these operators"
    others, steps = graph.other_steps, graph.step_kind
    if steps is not None:
        which = f"a step of kind {steps.name} ({steps.steps} of {steps.of} steps), {graph.step.name}"
        yield f"of {which}: the others run other operators or take another time"
    elif others:
        yield f"of {graph.step.name} alone: {others} other steps take another time or run other operators"
    if not graph.has_steps:
        yield "the saving is that of the whole trace, which does not say where its parts repeat"
    if graph.stretch.note:
        yield graph.stretch.note


def as_of(graph: StepGraph, text: str) -> str:
    """With what its figures are of: a trace without steps is told without that word, one step by its name."""
    if graph.has_steps and not graph.other_steps:
        return text
    if graph.has_steps:
        return _PER_STEP.sub(f"in {graph.step.name}", text)
    return _A_STEP.sub("the trace", _PER_STEP.sub("in the whole trace", text))
