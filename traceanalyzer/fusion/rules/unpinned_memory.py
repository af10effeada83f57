"""Seen: the device waits while input is copied from pageable host memory.

Instead: `pin_memory=True` in the DataLoader, and `.to(device, non_blocking=True)`; the next batch copied
while this one is worked on.

Saves: at most the time in which the device waits for such copies.

When not: host memory is short; or the copy is hidden behind other work already, and then it is not counted
here.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, told_wait, waited
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band

_SHARE = 0.01  # of the window


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such copies are a visible part of the window."""
    ns, share = waited(graph, "host_to_device_copy")
    if share >= _SHARE:
        yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=told_wait(ns, share), where="the whole step")


RULE = Rule(
    "unpinned_memory", __doc__ or "", find,
    title="Input is copied from pageable memory while the device waits",
    action="Pin the batches and copy them without waiting.",
    snippet="loader = DataLoader(data, pin_memory=True)\nbatch = batch.to(device, non_blocking=True)",
    caveats=("only copies that nothing hides are counted",),
    docs="https://docs.pytorch.org/docs/stable/notes/cuda.html",
)  # fmt: skip
