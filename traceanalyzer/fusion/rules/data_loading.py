"""Seen: the device waits while the host is inside the DataLoader.

Instead: worker processes (`num_workers`), or more of them; `persistent_workers=True`; cheaper or earlier
preprocessing. Where the stack shows that a library's pipeline makes the loader, its own argument for that.

Saves: at most the time in which the device waits for batches; on a CPU also that of operators that run in the
loader, in the process that trains. Nothing at worst: workers take cores from a step on a CPU (followed on two
cores, one worker made a step of 34 ms 6 ms longer). The middle counts that a worker
takes one of the step's cores: of two threads it takes off half of the operators' time, of 64 a 64th. Waiting
takes nobody's core.

When not: the host has no cores left, or the storage delivers no more.

Left out: waits of less than 2 % of the window. The trace names the iterator: a loader that has workers
already is given other advice.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
from msgspec.structs import replace

from traceanalyzer.fusion.idle_claims import claimed_idle, covering_names, idle_claims
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.frame_names import is_of_a_user, library_of, parsed
from traceanalyzer.records.trace import above, passes
from traceanalyzer.records.units import duration, percent

_WAIT_SHARE = 0.02  # of the window
_REST_SHARE = 0.01  # of the operators' time: less of a wait is none that a reader sees
_LOADER = "enumerate(DataLoader)#"  # torch/utils/data/dataloader.py names the fetching of a batch so
_WITHOUT_WORKERS = f"{_LOADER}_SingleProcess"
_OF_A_LIBRARY = (
    "Let {0} preprocess beside the device: give its call a worker process (num_workers, where it takes "
    "that), or a faster preprocessor. The loader is made by {0}, and works on each input in the thread that "
    "launches."
)
_PIPELINE = (
    "for result in pipe(inputs, num_workers={}):  # processes; more where other changes shorten the step\n"
    "    ..."
)
_ANY_CALL = "num_workers = 8  # among the arguments of {}, where it takes them"
_MOST_WORKERS = 8
_MORE = "Give the DataLoader more workers, or make what they do cheaper: the loader has some already."


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of the operators in the loader if any, where the wait is a visible part of the window."""
    ns, share = claimed_idle(graph, "data_loading")
    loading = _loading(graph, free)
    working_ns = float(sum(node.time_ns for node in loading))
    share += working_ns / graph.step_ns if graph.step_ns else 0.0
    if share < _WAIT_SHARE:
        return
    evidence, action, snippet, title = wait_evidence(graph, ns, share), "", "", ""
    if working_ns:
        evidence = (
            f"the main process loads for {duration(ns + working_ns)} per step, {percent(share)} of it: "
        )
        evidence += f"{duration(working_ns)} in operators"
        evidence += ", the rest in Python and storage" if ns >= _REST_SHARE * working_ns else ""
    library = _library(graph)
    loaders = [name for name in graph.trace.names if name.startswith(_LOADER)]
    if all(name.startswith(_WITHOUT_WORKERS) for name in loaders):
        evidence += "; the loader has no workers"
        title = "The main process loads each batch itself (num_workers=0)" if loaders else ""
        if library is not None:
            action = _OF_A_LIBRARY.format(library)
            workers = _enough_workers(graph, ns)
            snippet = _PIPELINE.format(workers) if library == "transformers" else _ANY_CALL.format(library)
    elif all("_MultiProcessing" in name for name in loaders):
        evidence += "; the loader has workers already"
        action, snippet = _MORE, "loader = DataLoader(data, num_workers=16, prefetch_factor=4)"
    if not graph.on_gpu and not action:
        workers = _enough_workers(graph, ns + working_ns)
        snippet = f"loader = DataLoader(data, num_workers={workers}, persistent_workers=True)"
    match = waiting(graph, ns, evidence, action=action, snippet=snippet)
    saved = _with_operators(match.saved or Band(0.0, 0.0, 0.0), working_ns, _threads(graph))
    yield replace(match, title=title, nodes=loading, saved=saved)


def _threads(graph: StepGraph) -> int | None:
    """Those of a CPU's step; None on a GPU, and where they were not recorded."""
    return graph.recording.threads if graph.recording and not graph.on_gpu else None


def _with_operators(waited: Band, working_ns: float, threads: int | None) -> Band:
    """And the operators' time; as a rule less the core that a worker takes from a step with a thread on each.

    One thread leaves cores to workers, as far as anyone knows.
    """
    taken = working_ns / threads if threads and threads > 1 else 0.0
    return Band(waited.low, waited.mid + working_ns - taken, waited.high + working_ns)


def _enough_workers(graph: StepGraph, loading_ns: float) -> int:
    """As many as make a batch in the time of the rest of a step; not more than its threads, if several."""
    rest_ns = max(1.0, graph.step_ns - loading_ns)
    threads = _threads(graph) or 1
    return max(1, min(ceil(loading_ns / rest_ns), threads if threads > 1 else _MOST_WORKERS))


def _library(graph: StepGraph) -> str | None:
    """Whose function asks the loader for the batch of the longest wait; None: the user's, or unknown."""
    idle, ns = graph.judged.idle, idle_claims(graph).ns("data_loading")
    if not ns.any():
        return None
    longest = int(np.argmax(ns))
    covering = covering_names(graph, int(idle.start_ns[longest]), int(idle.end_ns[longest]))
    texts = [(thread, graph.trace.names[name]) for thread, name in covering]
    at = next((at for at, (_, text) in enumerate(texts) if text.startswith(_LOADER)), 0)
    for thread, text in reversed(texts[:at]):
        caller = parsed(text) if thread == texts[at][0] else None
        if caller is not None and is_of_a_user(text):
            return library_of(caller)
    return None


def _loading(graph: StepGraph, free: Free) -> tuple[Node, ...]:
    """On a CPU, where they are no wait: operators that run inside the loader, in the thread of the step."""
    if graph.on_gpu:
        return ()
    return tuple(graph.nodes[place] for place in sorted(places_in_loader(graph) - free.taken))


def places_in_loader(graph: StepGraph) -> frozenset[int]:
    """Of nodes that a DataLoader's own annotation encloses."""
    return graph.once(_in_loader)


def _in_loader(graph: StepGraph) -> frozenset[int]:
    ops = graph.trace.ops
    loader = passes(graph.trace.names, ops.name, lambda name: name.startswith(_LOADER))
    if not loader.any():
        return frozenset()
    inside = above(ops.parent, loader) >= 0
    return frozenset(node.place for node in graph.nodes if inside[node.row])


RULE = Rule(
    "data_loading", __doc__ or "", find,
    title="The device waits for the next batch",
    action="Give the DataLoader workers, and keep them between epochs.",
    snippet="loader = DataLoader(data, num_workers=8, persistent_workers=True)",
    caveats=("as many workers as the host has cores to spare: on a CPU they take them from the step",),
    needs=(),
    docs="https://docs.pytorch.org/docs/stable/data.html",
)  # fmt: skip
