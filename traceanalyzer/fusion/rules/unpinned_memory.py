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

from traceanalyzer.fusion.rules.base import Match, Rule, idle_per_step, wait_evidence
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.trace import RecordKind
from traceanalyzer.records.units import si

_SHARE = 0.01  # of the window
_BUFFERED_BYTES = 65536  # CUDA Runtime API, "API synchronization behavior": the call returns once buffered


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such copies are a visible part of the window."""
    ns, share = idle_per_step(graph, "host_to_device_copy")
    part, copied = _from_pageable_memory(graph)
    ns, share = part * ns, part * share
    if share >= _SHARE:
        evidence = f"{wait_evidence(ns, share)}; {si(copied / graph.step_count, 'B')} per step come from "
        evidence += "pageable memory"
        yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=evidence, where="the whole step")


def _from_pageable_memory(graph: StepGraph) -> tuple[float, int]:
    """Of the host's time in copies to the device that are not from pinned memory the part of large ones that
    are known to come from pageable memory; and their bytes."""
    kernels, launches = graph.trace.kernels, graph.trace.launches
    counted = graph.judged.times.inside & (kernels.kind == RecordKind.MEMCPY) & (kernels.launch >= 0)
    rows = np.flatnonzero(counted)
    names = [graph.trace.names[name] for name in kernels.name[rows].tolist()]
    staged = rows[["HtoD" in name and "Pinned" not in name for name in names]] if names else rows
    if not len(staged):
        return 0.0, 0
    pageable = np.array(["Pageable" in graph.trace.names[name] for name in kernels.name[staged].tolist()])
    copied = kernels.copied_bytes[staged]  # -1: not recorded
    large = pageable & ((copied > _BUFFERED_BYTES) | (copied < 0))
    host_ns = (launches.end_ns - launches.start_ns)[kernels.launch[staged]]
    return float(host_ns[large].sum() / max(1, host_ns.sum())), int(copied[large].clip(min=0).sum())


RULE = Rule(
    "unpinned_memory", __doc__ or "", find,
    title="Input is copied from pageable memory while the device waits",
    action="Pin the batches and copy them without waiting.",
    snippet="loader = DataLoader(data, pin_memory=True)\nbatch = batch.to(device, non_blocking=True)",
    caveats=("only copies that nothing hides are counted",),
    docs="https://docs.pytorch.org/docs/stable/notes/cuda.html",
)  # fmt: skip
