"""Seen: the device waits while the host is inside the DataLoader.

Instead: worker processes (`num_workers`), or more of them; `persistent_workers=True`; cheaper or earlier
preprocessing.

Saves: at most the time in which the device waits for batches.

When not: the host has no cores left, or the storage delivers no more.

Left out: waits of less than 2 % of the window. The trace names the iterator: a loader that has workers
already is given other advice.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.idle_claims import promised
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph

_WAIT_SHARE = 0.02  # of the window
_LOADER = "enumerate(DataLoader)#"  # torch/utils/data/dataloader.py names the fetching of a batch so
_WITHOUT_WORKERS = f"{_LOADER}_SingleProcess"
_MORE = "Give the DataLoader more workers, or make what they do cheaper: the loader has some already."


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where the wait is a visible part of the window."""
    ns, share = promised(graph, "data_loading")
    if share < _WAIT_SHARE:
        return
    evidence, action, snippet = wait_evidence(graph, ns, share), "", ""
    loaders = [name for name in graph.trace.names if name.startswith(_LOADER)]
    if all(name.startswith(_WITHOUT_WORKERS) for name in loaders):
        evidence += "; the loader has no workers"
    elif all("_MultiProcessing" in name for name in loaders):
        evidence += "; the loader has workers already"
        action, snippet = _MORE, "loader = DataLoader(data, num_workers=16, prefetch_factor=4)"
    yield waiting(graph, ns, evidence, action=action, snippet=snippet)


RULE = Rule(
    "data_loading", __doc__ or "", find,
    title="The device waits for the next batch",
    action="Give the DataLoader workers, and keep them between epochs.",
    snippet="loader = DataLoader(data, num_workers=8, persistent_workers=True)",
    caveats=("as many workers as the host has cores to spare",),
    needs=(),
    docs="https://docs.pytorch.org/docs/stable/data.html",
)  # fmt: skip
