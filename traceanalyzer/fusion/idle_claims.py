"""Which rule's remedy an idle stretch belongs to: each nanosecond of idle time is promised by one at most.

By cause, with four exceptions, in which what stands next to a stretch says more than its cause:

* In the one step that saves a checkpoint, what follows the copies to the host is that checkpoint.
* Host work in the wrapper of compiled code is that code's: its name says that it launches.
* What lies between two tiny copies to the device would not be there if they were one.
* A launch gap in which a wait of the host ends is the wait's, as far as the host had to wait for a device
  that worked: without it the host would have been that far ahead.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from traceanalyzer.fusion.host_remedies import writes_a_file
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records import IDLE_CAUSES, IdleCause
from traceanalyzer.records.trace import Bools, Codes, Ids, Ints, OpKind, RecordKind, passes
from traceanalyzer.records.vocabulary import COMPILED_CODE, IDLE_RULES, RULE_BY_CAUSE

NOT_IN_EACH_STEP = (
    "checkpoint_saving", "host_work", "compiled_launches", "memory_allocation", "recompilation",
)  # fmt: skip
"""Of IDLE_RULES those of what is done every so many steps: of steps that differ, they look at all."""
BUFFERED_BYTES = 65536  # CUDA Runtime API, "API synchronization behavior": the call returns once buffered
_SAVED_BYTES = 10_000_000  # that a step copies to the host, if it saves a model
_LONGER = 2.0  # times the other steps' time, that such a step takes
_SAVING_STEPS_SHARE = 1 / 3  # of the steps at most
_COVERED_SHARE = 0.5  # of a wait, by what explains it
_AROUND_COPIES: tuple[IdleCause, ...] = ("launch_gap", "synchronisation", "host_to_device_copy")
_OF_A_CHECKPOINT: tuple[IdleCause, ...] = ("unknown", "host_work", "synchronisation")


class IdleClaims(msgspec.Struct, frozen=True, eq=False):
    """Of every idle stretch, in the order of Judged.idle, how many ns each rule may promise."""

    owner: Codes  # place in IDLE_RULES of the rule that may promise it; -1: none
    length_ns: Ints
    waited_ns: Ints  # of launch gaps, what is promised by who removes a wait
    step: Ids  # in which it begins; 0 where the trace has none

    def ns(self, rule: str) -> Ints:
        """What a rule may promise; all rules together no more than the stretch."""
        owned = np.where(self.owner == IDLE_RULES.index(rule), self.length_ns, 0)
        if rule == "launch_bound":
            return owned - self.waited_ns
        return owned + self.waited_ns if rule == "synchronisation" else owned

    def each_step(self, rule: str) -> Ints:
        """ns of every step of the window."""
        total = np.zeros(int(self.step.max(initial=0)) + 1, np.int64)
        np.add.at(total, self.step, self.ns(rule))
        return total

    def recurring_ns(self, rule: str) -> int:
        """What further steps would take too: of the first, which may start up, no more than of another."""
        first, *others = map(int, self.each_step(rule))
        return min(first, max(others, default=0)) + sum(others)


def idle_claims(graph: StepGraph) -> IdleClaims:
    """Worked out once a graph."""
    return graph.once(_claims)


def claimed_idle(graph: StepGraph, rule: str) -> tuple[float, float]:
    """(ns per step, share of the window) of idle time that the rule may promise."""
    ns = int(idle_claims(graph).ns(rule).sum())
    return ns / graph.step_count, ns / max(1, graph.window_ns)


def _claims(graph: StepGraph) -> IdleClaims:
    idle, count = graph.judged.idle, len(graph.judged.idle.start_ns)
    owner = np.full(count, -1, np.int8)
    for cause, rule in RULE_BY_CAUSE.items():
        owner[_of(graph, cause)] = IDLE_RULES.index(rule)
    owner[_in_compiled_code(graph)] = IDLE_RULES.index("compiled_launches")
    owner[_not_from_large_pageable(graph)] = -1
    owner[between_small_copies(graph)] = IDLE_RULES.index("small_copies")
    cuts = np.array(graph.judged.window.cuts, np.int64)
    step = np.clip(np.searchsorted(cuts, idle.start_ns, side="right") - 1, 0, max(0, len(cuts) - 2))
    owner[_after_saving(graph, step)] = IDLE_RULES.index("checkpoint_saving")
    waited = np.where(owner == IDLE_RULES.index("launch_bound"), _after_waits(graph), 0)
    return IdleClaims(owner, idle.end_ns - idle.start_ns, waited, step.astype(np.int32))


def _of(graph: StepGraph, *causes: IdleCause) -> Bools:
    """Stretches of one of these causes."""
    among = np.array([cause in causes for cause in IDLE_CAUSES], bool)
    chosen: Bools = among[graph.judged.idle.cause]
    return chosen


def _in_compiled_code(graph: StepGraph) -> Bools:
    """Host work inside a wrapper that a compiler generated, by its name."""
    idle = graph.judged.idle
    inside = _of(graph, "host_work") & (idle.name >= 0)
    inside[inside] = passes(
        graph.trace.names, idle.name[inside], lambda name: any(part in name for part in COMPILED_CODE)
    )
    return inside


def _records(graph: StepGraph) -> Ids:
    """The device's records in the window, by start."""
    rows: Ids = np.flatnonzero(graph.judged.times.inside).astype(np.int32)
    return rows


def _named(graph: StepGraph, rows: Ids, part: str) -> Bools:
    """Whether these records are copies whose names hold the part."""
    kernels = graph.trace.kernels
    named = passes(graph.trace.names, kernels.name[rows], lambda name: part in name)
    chosen: Bools = named & (kernels.kind[rows] == RecordKind.MEMCPY)
    return chosen


def small_copies(graph: StepGraph) -> Ids:
    """Records of copies to the device, from memory that is pageable, of no more than the driver buffers."""
    rows = _records(graph)
    copied = graph.trace.kernels.copied_bytes[rows]
    return rows[_named(graph, rows, "HtoD (Pageable") & (copied >= 0) & (copied <= BUFFERED_BYTES)]


def between_small_copies(graph: StepGraph) -> Bools:
    """Stretches that begin when one such copy ends and last until another one, as far as copying explains."""
    kernels, rows = graph.trace.kernels, _records(graph)
    small = np.isin(rows, small_copies(graph))
    start, end = graph.judged.idle.start_ns, graph.judged.idle.end_ns
    if not len(rows) or not small.any():
        return np.zeros(len(start), bool)
    reach = np.maximum.accumulate(kernels.end_ns[rows])
    following = np.searchsorted(kernels.start_ns[rows], end)
    before = following - 1  # nothing else runs when a stretch is idle
    inner = (following < len(rows)) & (before >= 0)
    both = np.append(small, False)[following.clip(max=len(rows))] & small[before.clip(min=0)]
    ended = reach[before.clip(min=0)] <= start
    between: Bools = inner & both & ended & _of(graph, *_AROUND_COPIES)
    return between


def large_pageable_copies(graph: StepGraph) -> Ids:
    """Records of copies to the device that the driver stages, and whose call was recorded."""
    kernels = graph.trace.kernels
    rows = np.flatnonzero(kernels.launch >= 0).astype(np.int32)
    copied = kernels.copied_bytes[rows]  # -1: not recorded
    return rows[_named(graph, rows, "HtoD (Pageable") & ((copied > BUFFERED_BYTES) | (copied < 0))]


def _not_from_large_pageable(graph: StepGraph) -> Bools:
    """Waits for copies that pinning does not help, by the call that each lies in."""
    idle, kernels, calls = graph.judged.idle, graph.trace.kernels, graph.trace.launches
    waits = _of(graph, "host_to_device_copy")
    helped = np.unique(kernels.launch[large_pageable_copies(graph)])
    helped = helped[np.argsort(calls.start_ns[helped], kind="stable")]
    begun = np.searchsorted(calls.start_ns[helped], idle.start_ns, side="right") - 1
    inside = begun >= 0
    inside[inside] = calls.end_ns[helped[begun[inside]]] >= idle.end_ns[inside]
    left: Bools = waits & ~inside
    return left


def _after_saving(graph: StepGraph, step: Ints) -> Bools:
    """Stretches of a step that saves the model, from its first copy to the host on.

    Not what the trace names as other work of the host; where that is most of them, the step saves nothing.
    """
    idle = graph.judged.idle
    length, chosen = idle.end_ns - idle.start_ns, np.zeros(len(idle.start_ns), bool)
    for number, first, _ in saving_steps(graph):
        behind = (step == number) & (idle.start_ns >= first) & _of(graph, *_OF_A_CHECKPOINT)
        other = behind & _other_work(graph, behind)
        if length[other].sum() <= _COVERED_SHARE * length[behind].sum():
            chosen |= behind & ~other
    return chosen


def _other_work(graph: StepGraph, stretches: Bools) -> Bools:
    """Host work of whose name, and of all that covers its longest stretch, nothing writes a file."""
    idle, names = graph.judged.idle, graph.trace.names
    named = stretches & _of(graph, "host_work") & (idle.name >= 0)
    other = np.zeros(len(named), bool)
    for row in np.unique(idle.name[named]).tolist():
        mine = np.flatnonzero(named & (idle.name == row))
        longest = mine[np.argmax(idle.end_ns[mine] - idle.start_ns[mine])]
        around = covering_names(graph, int(idle.start_ns[longest]), int(idle.end_ns[longest]))
        other[mine] = not any(writes_a_file(names[name]) for name in (row, *(name for _, name in around)))
    return other


def saving_steps(graph: StepGraph) -> Iterator[tuple[int, int, int]]:
    """(place in the window, start of the first copy, bytes) of the few long steps that copy much to it."""
    times = np.array([each.device_ns for each in graph.judged.steps], np.int64)
    if len(times) < 2:
        return
    kernels, rows = graph.trace.kernels, _records(graph)
    rows = rows[_named(graph, rows, "DtoH") & (kernels.copied_bytes[rows] > 0)]
    cuts = np.array(graph.judged.window.cuts, np.int64)
    step = np.searchsorted(cuts, kernels.start_ns[rows], side="right") - 1
    copied = np.array([kernels.copied_bytes[rows[step == number]].sum() for number in range(len(times))])
    ordinary = int(np.sort(times)[(len(times) - 1) // 2])
    usual = int(np.sort(copied)[(len(copied) - 1) // 2])
    saves = (times >= _LONGER * ordinary) & (copied - usual >= _SAVED_BYTES)
    if saves.sum() <= max(1.0, _SAVING_STEPS_SHARE * len(times)):
        for number in np.flatnonzero(saves).tolist():
            yield number, int(kernels.start_ns[rows[step == number]].min()), int(copied[number])


def covering_names(graph: StepGraph, start: int, end: int) -> list[tuple[int, int]]:
    """(thread, row in Trace.names) of all on the host that covers most of a wait, by start."""
    ops, spans = graph.trace.ops, graph.trace.spans
    covering: list[tuple[int, int, int]] = []
    for column, fits in ((ops, ops.kind != OpKind.AUTOGRAD), (spans, ~spans.profiler)):
        covered = np.minimum(column.end_ns, end) - np.maximum(column.start_ns, start)
        rows = np.flatnonzero(fits & (covered >= _COVERED_SHARE * (end - start)))
        covering += zip(column.start_ns[rows].tolist(), column.thread[rows].tolist(),
                     column.name[rows].tolist(), strict=True)  # fmt: skip
    return [(thread, name) for _, thread, name in sorted(covering)]


def _after_waits(graph: StepGraph) -> Ints:
    """Of every stretch the ns that the host had waited before, in the same gap, for a device that worked."""
    idle, calls = graph.judged.idle, graph.trace.launches
    if not len(idle.start_ns):
        return np.zeros(0, np.int64)
    opens = np.append(True, idle.start_ns[1:] != idle.end_ns[:-1])
    gap = np.cumsum(opens, dtype=np.int32) - 1
    gap_start, gap_end = idle.start_ns[opens], idle.end_ns[np.append(opens[1:], True)]
    rows = waiting_calls(graph)
    ended_in = np.searchsorted(gap_start, calls.end_ns[rows], side="right") - 1
    inside = (ended_in >= 0) & (calls.end_ns[rows] < gap_end[ended_in])
    ended_in, began = ended_in[inside], np.minimum(calls.start_ns[rows[inside]], gap_start[ended_in[inside]])
    worked = gap_start[ended_in] - began
    worked -= _idle_before(gap_start, gap_end, gap_start[ended_in]) - _idle_before(gap_start, gap_end, began)
    waited = np.zeros(len(gap_start), np.int64)
    np.add.at(waited, ended_in, worked)
    moved, there = np.zeros(len(gap), np.int64), np.flatnonzero((waited > 0)[gap])  # few of very many
    length = np.where(_of(graph, "launch_gap")[there], idle.end_ns[there] - idle.start_ns[there], 0)
    before = np.cumsum(length) - length
    before -= np.maximum.accumulate(np.where(opens[there], before, 0))  # of the same gap
    moved[there] = np.minimum(length, np.maximum(0, waited[gap[there]] - before))
    return moved


def _idle_before(gap_start: Ints, gap_end: Ints, moment_ns: Ints) -> Ints:
    """Idle time of the window before each moment."""
    total = np.append(0, np.cumsum(gap_end - gap_start))
    begun = np.searchsorted(gap_start, moment_ns, side="right")
    last = (begun - 1).clip(min=0)
    spent = np.minimum(moment_ns, gap_end[last]) - gap_start[last]
    before: Ints = np.where(begun > 0, total[last] + spent, 0)
    return before


def waiting_calls(graph: StepGraph) -> Ids:
    """Rows in Trace.launches in which a thread that launches kernels waits for the device.

    Also copies to pageable memory of the host, which return when they are done.
    """
    trace, calls, kernels = graph.trace, graph.trace.launches, graph.trace.kernels
    launched = np.flatnonzero(kernels.launch >= 0).astype(np.int32)
    waits = passes(trace.names, calls.name, lambda name: "Synchronize" in name)
    waits[kernels.launch[launched[_named(graph, launched, "DtoH (Device -> Pageable")]]] = True
    launching = np.unique(calls.thread[kernels.launch[launched]])
    rows: Ids = np.flatnonzero(waits & np.isin(calls.thread, launching)).astype(np.int32)
    return rows
