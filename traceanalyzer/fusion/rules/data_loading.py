"""Seen: the device waits while the host is inside the DataLoader.

Instead: worker processes (`num_workers`), or more of them; `persistent_workers=True`; cheaper or earlier
preprocessing.

Saves: at most the time in which the device waits for batches.

When not: the host has no cores left, or the storage delivers no more. The trace names the iterator, and so
says whether the loader has workers already.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.rules.base import Match, Rule, idle_per_step, wait_evidence
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band

_SHARE = 0.02  # of the window
# Names that torch/utils/data/dataloader.py gives to fetching a batch.
_LOADERS = {
    "enumerate(DataLoader)#_SingleProcessDataLoaderIter": "the loader has no workers",
    "enumerate(DataLoader)#_MultiProcessingDataLoaderIter": "the loader has workers already, too few or too "
    "slow ones",
}


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where the wait is a visible part of the window."""
    ns, share = idle_per_step(graph, "data_loading")
    if share >= _SHARE:
        evidence = "; ".join([wait_evidence(ns, share), *_workers(graph)])
        yield Match((), "T3", saved=Band(0.0, ns, ns), evidence=evidence, where="the whole step")


def _workers(graph: StepGraph) -> list[str]:
    """What the names of the loaders say; nothing where they differ."""
    said = {
        words for name in graph.trace.names for loader, words in _LOADERS.items() if name.startswith(loader)
    }  # fmt: skip
    return list(said) if len(said) == 1 else []


RULE = Rule(
    "data_loading", __doc__ or "", find,
    title="The device waits for the next batch",
    action="Load batches in worker processes, or in more of them, and keep the workers between epochs.",
    snippet="loader = DataLoader(data, num_workers=8, persistent_workers=True)",
    caveats=("as many workers as the host has cores to spare",),
    docs="https://docs.pytorch.org/docs/stable/data.html",
)  # fmt: skip
