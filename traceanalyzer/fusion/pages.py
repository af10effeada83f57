"""What the system takes, within operators on a CPU, for pages of memory that comes anew.

glibc maps large blocks anew each time. Smaller ones come from its heap, whose end goes back to the system
only while nothing lies above it: so one process faults for them in each step, and another of the same script
hardly ever (a speech encoder: 72 ms of system time in a step of 160 ms while it was recorded; in a process of
its own, keeping its pages saved 6 ms).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import sqrt

from traceanalyzer.fusion.step_graph import Node, StepGraph

MAPPED = 1 << 25
"""Bytes of a block from which on glibc always maps it anew: M_MMAP_THRESHOLD_MAX, mallopt(3)."""
PAGE_BYTES = 4096
"""Of a page, where the recording does not say."""
_MOST = 0.7  # of an operator's time


def is_mapped(written: int) -> bool:
    """Whether a result of so many bytes is mapped anew whenever it is allocated."""
    return written >= MAPPED


def paging_ns(graph: StepGraph, nodes: Iterable[Node]) -> float:
    """Of these operators' time what the system takes in it as a rule: threads that fault one after another
    wait for all of it, at once for their part, and this is between the two."""
    at_once = sqrt(_threads(graph))
    return sum(min(_MOST * node.time_ns, ns / at_once) for node, ns in _with_system_ns(graph, nodes))


def perhaps_kept_ns(graph: StepGraph, nodes: Iterable[Node]) -> float:
    """At most the same, of blocks whose pages another process of the script may keep."""
    smaller = (node for node in nodes if not (node.cost and is_mapped(node.cost.write_bytes)))
    return sum(min(_MOST * node.time_ns, ns) for node, ns in _with_system_ns(graph, smaller))


def _threads(graph: StepGraph) -> int:
    recording = graph.recording
    roofs = recording.cpu_roofs if recording else None
    return (recording.threads if recording else None) or (roofs.threads if roofs else None) or 1


def _with_system_ns(graph: StepGraph, nodes: Iterable[Node]) -> Iterator[tuple[Node, float]]:
    each = graph.once(_system_ns)
    return ((node, each[node.place]) for node in nodes)


def _system_ns(graph: StepGraph) -> tuple[float, ...]:
    """The step's system time by bytes that operators write anew, mapped blocks before others."""
    fresh = [0 if graph.on_gpu else graph.fresh_bytes(node) for node in graph.nodes]
    recording = graph.recording
    if recording is None or not recording.system_ns_per_step or not sum(fresh):
        return (0.0,) * len(fresh)
    mapped = sum(filter(is_mapped, fresh))
    faulted = (recording.minor_faults_per_step or 0) * (recording.page_bytes or PAGE_BYTES)
    faulted = round(faulted / graph.stretch.repeats) or sum(fresh)
    part = min(1.0, max(0, faulted - mapped) / max(1, sum(fresh) - mapped))
    weights = [float(size) if is_mapped(size) else part * size for size in fresh]
    per_byte = recording.system_ns_per_step / graph.stretch.repeats / max(1.0, sum(weights))
    return tuple(per_byte * size for size in weights)
