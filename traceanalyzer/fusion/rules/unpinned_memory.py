"""Seen: the device waits while input is copied from pageable host memory.

Instead: `pin_memory=True` in the DataLoader, and `.to(device, non_blocking=True)`; the next batch copied
while this one is worked on.

Saves: at most the time in which the device waits for such copies.

When not: host memory is short: pinned pages cannot be swapped out.

Left out: copies that other work hides; copies from pinned memory; copies of at most 64 KiB, which the driver
buffers; copies of which the trace does not name the memory (AMD).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.fusion.idle_claims import claimed_idle, large_pageable_copies
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records.units import si

_WAIT_SHARE = 0.01  # of the window


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such copies are a visible part of the window."""
    ns, share = claimed_idle(graph, "unpinned_memory")
    if share >= _WAIT_SHARE:
        rows = large_pageable_copies(graph)
        counted = rows[graph.judged.times.inside[rows]]
        copied = int(np.maximum(0, graph.trace.kernels.copied_bytes[counted]).sum())
        each = " per step" if graph.has_steps else ""
        size = si(copied / graph.step_count, "B")
        evidence = f"{wait_evidence(graph, ns, share)}; {size}{each} come from pageable memory"
        yield waiting(graph, ns, evidence)


RULE = Rule(
    "unpinned_memory", __doc__ or "", find,
    title="Input is copied from pageable memory while the device waits",
    action="Pin the batches and copy them without waiting.",
    snippet="loader = DataLoader(data, pin_memory=True)\nbatch = batch.to(device, non_blocking=True)",
    caveats=("only copies that nothing hides are counted",),
    needs=("gpu", "launches"),
    docs="https://docs.pytorch.org/docs/stable/notes/cuda.html",
)  # fmt: skip
