"""Seen: thousands of page faults in each step of a CPU: glibc hands freed memory back to the system, which
clears its pages and maps them anew when the next step asks for them.

Instead: glibc told to keep what is freed, by `GLIBC_TUNABLES` before the script starts; or another
allocator, jemalloc or tcmalloc, by `LD_PRELOAD`.

Saves: at most the time inside the system, all threads together, and half as much again: clearing pages
pushes out of the caches what the step needs next.

When not: memory is short, for the process keeps its peak; or the faults are of files that are mapped.

Left out: fewer than 1,000 faults, or less than 2 % of the step in the system; another allocator, or glibc
told already; threads whose number is not known, over which system time adds up; faults that were not counted
without the profiler, whose own memory is among the others; GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.fusion.pages import PAGE_BYTES
from traceanalyzer.fusion.rules.base import Match, Rule, everywhere, started
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, si

_LEAST_FAULTS = 1000  # per step
_STEP_SHARE = 0.02  # of the step, inside the system
_AT_BEST = 1.5  # of the system time: measured 0.98 to 1.17 on one thread


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators: a trace does not show whose pages come anew."""
    recording = graph.recording
    if graph.on_gpu or not graph.has_steps or recording is None or recording.allocator != "glibc":
        return
    faults, system_ns, step_ns = (
        recording.minor_faults_per_step, recording.system_ns_per_step, recording.unprofiled_step_ns
    )  # fmt: skip
    if not faults or not system_ns or not step_ns or faults < _LEAST_FAULTS:
        return
    threads = recording.threads or (recording.cpu_roofs.threads if recording.cpu_roofs else None)
    if not threads or system_ns < _STEP_SHARE * step_ns * threads:
        return
    size = recording.page_bytes or PAGE_BYTES
    evidence = f"a typical step has {faults:,} page faults of {size // 1024} KiB = {si(faults * size, 'B')}, "
    evidence += f"{duration(system_ns)} of system time"
    band = _saved(system_ns / graph.stretch.repeats, threads)
    yield Match(
        (), "T3", saved=band, evidence=evidence, where=everywhere(graph),
        snippet=f"{_KEEP} {started(graph)}",
    )  # fmt: skip


def _saved(system_ns: float, threads: int) -> Band:
    """Threads that fault one after another wait for all of it, at once for their part: between the two.

    No end is proved, so that half of the middle is promised.
    """
    high = _AT_BEST * system_ns
    return Band(0.0, min(high, 2 * system_ns / threads**0.5), high)


# No block has a mapping of its own (of mmap_threshold an older glibc takes no more than 32 MiB), and the heap
# is trimmed beyond 1 TiB alone.
_KEEP = "GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776"

RULE = Rule(
    "kept_pages", __doc__ or "", find,
    title="Freed memory goes back to the system and comes again page by page",
    action=f"Start Python with {_KEEP}, or with jemalloc, so that the allocator keeps what is freed.",
    snippet=f"{_KEEP} python train.py",
    caveats=("the process keeps its peak of memory until it ends",),
    needs=("cpu", "steps", "page_faults"),
    docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)  # fmt: skip
