"""Seen: many tiny tensors are copied to the device one after another, from pageable memory, and the device
waits between them.

Instead: one tensor on the host that holds them all, in pinned memory, copied once with `non_blocking=True`.

Saves: at most the time between two such copies. The first one remains, as one copy of all.

When not: their values are not known at the same time.

Left out: fewer than eight such copies per step; copies of over 64 KiB, for which pinning alone helps; copies
with other work between them; waits of less than 1 % of the window.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.idle_claims import claimed_idle, small_copies
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records.units import si

_WAIT_SHARE = 0.01  # of the window
_MANY = 8  # per step


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where time between such copies is a visible part of the window."""
    ns, share = claimed_idle(graph, "small_copies")
    rows = small_copies(graph)
    count = len(rows) / graph.step_count
    if not graph.on_gpu or share < _WAIT_SHARE or count < _MANY:
        return
    each = " per step" if graph.has_steps else ""
    size = si(int(graph.trace.kernels.copied_bytes[rows].mean()), "B")
    evidence = f"{wait_evidence(graph, ns, share)}; {count:.0f} copies{each} of {size} on average"
    yield waiting(graph, ns, evidence)


RULE = Rule(
    "small_copies", __doc__ or "", find,
    title="Many tiny tensors are copied to the device one by one",
    action="Put the values into one tensor on the host, and copy that once from pinned memory.",
    snippet="batch = torch.stack(values).pin_memory().to(device, non_blocking=True)",
    caveats=("values that follow from each other cannot be copied at once",),
    needs=("gpu", "launches"),
    docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)  # fmt: skip
