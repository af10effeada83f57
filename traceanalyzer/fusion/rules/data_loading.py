"""Seen: the device waits while the host is inside the DataLoader.

Instead: more workers (`num_workers`), `persistent_workers=True`, cheaper or earlier preprocessing.

Saves: at most the time in which the device waits for batches.

When not: the host has no cores left, or the storage gives no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, told_wait, waited
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band

_SHARE = 0.02  # of the window


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where the wait is a visible part of the window."""
    ns, share = waited(graph, "data_loading")
    if share >= _SHARE:
        yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=told_wait(ns, share), where="the whole step")


RULE = Rule(
    "data_loading", __doc__ or "", find,
    title="The device waits for the next batch",
    action="Give the DataLoader workers, and keep them.",
    snippet="loader = DataLoader(data, num_workers=8, persistent_workers=True)",
    caveats=("as many workers as the host has cores to spare",),
    docs="https://docs.pytorch.org/docs/stable/data.html",
)  # fmt: skip
