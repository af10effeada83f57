"""One step as rules see it: its operators with cost and time, and the producer-consumer edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar, cast

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.cost.fusible import elements, reduced
from traceanalyzer.fusion.evidence.dataflow import Edge, ExternalRead, Tensor, dataflow
from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.fusion.step_ops import StepOps
from traceanalyzer.fusion.stretch import Stretch, stretch_of
from traceanalyzer.records import Cost, Device, IdleCause, Notice, OfKind, OpCall, OpRow, Recording, SavingOf
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.priced import Fusible, Priced, PricedCall
from traceanalyzer.records.times import kind_name, shown_step
from traceanalyzer.records.trace import PHASES, Bools, Ids, OpKind, Step, Trace, above

Fact = TypeVar("Fact")
SLOWED = 1.3  # times as long, from which on the profiler slowed a step much
_LEAST_LEFT = 0.3  # of a record's time, whatever is taken off


class Node(msgspec.Struct, frozen=True):
    """One invocation of an operator that did work."""

    place: int  # in StepGraph.nodes, by the operator's start
    row: int  # in Trace.ops
    call: OpCall
    cost: Cost | None  # None: not known
    time_ns: int  # of its records
    records: int  # kernels
    phase: str | None
    module: str | None
    name: str  # without `aten::`, and without the `_` of a variant that works in place
    fusible: Fusible
    elements: int  # of the largest tensor
    reduced: int | None  # elements that become one, of a reduction

    @property
    def bytes(self) -> int:
        """Read and written; 0 where that is unknown."""
        return self.cost.bytes if self.cost else 0


class Free(msgspec.Struct, frozen=True):
    """Whether no rule before has claimed a node."""

    taken: frozenset[int] = frozenset()  # places of nodes that are not free

    def __call__(self, node: Node) -> bool:
        return node.place not in self.taken

    def without(self, places: frozenset[int]) -> Free:
        """The same, but for further nodes."""
        return Free(self.taken | places) if places else self


class StepGraph(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One step of a trace, and what the analysis found out about the whole."""

    judged: Judged
    stretch: Stretch
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    executed: bool  # every edge between nodes is known
    external_reads: tuple[ExternalRead, ...] = ()
    # of (place, argument), if proved
    argument_tensors: Mapping[tuple[int, int], Tensor] = msgspec.field(default_factory=dict)
    freed_in_step: frozenset[int] = frozenset()  # places of nodes whose results are gone before the step ends
    notices: tuple[Notice, ...] = ()
    all_steps: Judged | None = None  # where `judged` is one step of several that differ

    @property
    def over_all_steps(self) -> StepGraph:
        """The same nodes, with the times of all steps: some wait in one of them only."""
        return self._over_others or self  # kept by itself it would wait for the collector, which is off

    @cached_property
    def _over_others(self) -> StepGraph | None:
        return replace(self, judged=self.all_steps, all_steps=None) if self.all_steps else None

    @property
    def trace(self) -> Trace:
        """The completed trace that the step is of."""
        return self.judged.priced.trace

    @property
    def device(self) -> Device:
        """The device and its roofs."""
        return self.judged.device

    @property
    def rows(self) -> Sequence[OpRow]:
        """All op rows of the window, largest first."""
        return self.judged.rows

    @cached_property
    def recording(self) -> Recording | None:
        """What the collector knew; of its times those of steps of this kind, where there are several."""
        recording, steps = self.trace.recording, self.step_kind
        if recording is None or steps is None:
            return recording
        first = steps.name == kind_name(0)
        if recording.steps is None:  # most steps are of the first kind, and so is the median
            return recording if first else recording.of_steps(())
        return recording.of_steps(next(
            group.steps for at, group in enumerate(self.judged.kinds) if kind_name(at) == steps.name
        ))  # fmt: skip

    @property
    def busy_ns(self) -> int:
        """Busy time of the window."""
        return self.judged.time.busy_ns

    @property
    def window_ns(self) -> int:
        """Busy and idle time of the window."""
        return self.judged.window_ns

    @property
    def step(self) -> Step:
        """Of the host, when the nodes were launched."""
        return self.stretch.step

    @property
    def step_count(self) -> float:
        """What totals of the window are divided by to be those of this graph."""
        return self.judged.step_count * self.stretch.repeats

    @property
    def has_steps(self) -> bool:
        """Whether the trace says where a step begins and ends."""
        return self.judged.has_steps

    @property
    def other_steps(self) -> int:
        """Steps that the figures are not of, as they differ from this one; 0 where all are alike."""
        return len(self.judged.steps) - len(self.judged.window.steps)

    @cached_property
    def step_kind(self) -> OfKind | None:
        """Of the one step that its figures are of; None where steps are of one kind, or it is of all."""
        if not self.other_steps:
            return None
        name = self.judged.window.steps[0].name
        with_it = ((at, group) for at, group in enumerate(self.judged.kinds) if name in group.steps)
        count = len(self.judged.steps)
        return next((OfKind(kind_name(at), len(group.steps), count) for at, group in with_it), None)

    @property
    def saving_of(self) -> SavingOf:
        """What its figures, and so the savings found in it, are of."""
        if not self.has_steps:
            return "trace"
        if self.other_steps:
            shown = self.step_kind is None or self.step_kind.name == kind_name(0)
            return "shown_step" if shown else "step_of_kind"
        return "mean_step" if shown_step(self.judged.steps, self.judged.kinds) else "each_step"

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.kind == "gpu"

    def idle_ns(self, cause: IdleCause) -> int:
        """Idle time of the window that has this cause."""
        return self.judged.idle_ns(cause)

    @cached_property
    def into(self) -> dict[int, list[Edge]]:
        """Edges by their consumer's place."""
        return _by(self.edges, [edge.consumer for edge in self.edges])

    @cached_property
    def out_of(self) -> dict[int, list[Edge]]:
        """Edges by their producer's place."""
        return _by(self.edges, [edge.producer for edge in self.edges])

    @cached_property
    def external_reads_of(self) -> dict[int, list[ExternalRead]]:
        """What was there before the step, by the place of who reads it."""
        by_consumer: dict[int, list[ExternalRead]] = {}
        for read in self.external_reads:
            by_consumer.setdefault(read.consumer, []).append(read)
        return by_consumer

    def row_of(self, node: Node) -> OpRow | None:
        """The op row that the node's kernels are counted in, with its verdict; None where there is none."""
        row = self._row_of_op[node.row]
        return self.judged.table[row] if row >= 0 else None

    @cached_property
    def _row_of_op(self) -> Ids:
        """Place in Judged.table by row in Trace.ops, of every op that a record belongs to; else -1."""
        priced, kernels = self.judged.priced, self.trace.kernels
        op = np.where(priced.priced_op >= 0, priced.priced_op, kernels.op)
        rows = np.full(len(self.trace.ops) + 1, -1, np.int32)  # the last is of records without an op
        rows[op] = self.judged.times.row
        return rows

    def attributed_share(self, nodes: Sequence[Node]) -> float:
        """Of the time of their records what is theirs alone: less than 1 where they overlap with others.

        Of the op rows they are counted in, over the whole window; 1 where nothing is known.
        """
        time = attributed = 0.0
        for node in nodes:
            row = self.row_of(node)
            time += node.time_ns
            attributed += (
                node.time_ns * row.attributed_ns / row.time_ns if row and row.time_ns else node.time_ns
            )
        return attributed / time if time else 1.0

    def undisturbed_ns(self, nodes: Sequence[Node]) -> float:
        """Time of their records; on a CPU without what the profiler adds to it.

        The profiler's own memory keeps the allocator from handing out the same pages again, so that tensors
        are written to new ones, which the system has to clear first: one operator takes 0.6 ms in one step
        and 2 ms in the next. What captured steps took longer, inside the system, is taken off by bytes.
        """
        if not self.trace.on_cpu:
            return float(sum(node.time_ns for node in nodes))
        return sum(
            max(_LEAST_LEFT * node.time_ns, node.time_ns - self._slowed_ns_per_byte * self.fresh_bytes(node))
            for node in nodes
        )  # fmt: skip

    def perhaps_slowed_ns(self, nodes: Sequence[Node]) -> float:
        """What a profiler that slowed a CPU's step much may have added beyond that, record by record."""
        if not self.trace.on_cpu or self.slowed_times <= SLOWED:
            return 0.0
        records = sum(node.records for node in nodes) / max(1, sum(node.records for node in self.nodes))
        time_ns = sum(node.time_ns for node in nodes)
        at_worst_ns = max(_LEAST_LEFT * time_ns, time_ns - records * self.slowed_ns)
        return max(0.0, self.undisturbed_ns(nodes) - at_worst_ns)

    @property
    def most_idle_ns(self) -> float:
        """Per step, that the device can have waited without the profiler; infinite where that is unknown."""
        recording = self.recording
        if recording is None or not recording.unprofiled_step_ns or self.slowed_times <= SLOWED:
            return float("inf")
        return max(0.0, recording.unprofiled_step_ns - self.busy_ns / self.step_count)

    @property
    def slowed_times(self) -> float:
        """How many times as long the captured steps took as those without the profiler; 1 where unknown."""
        recording = self.recording
        if recording is None or not recording.unprofiled_step_ns or not recording.profiled_step_ns:
            return 1.0
        return recording.profiled_step_ns / recording.unprofiled_step_ns

    @property
    def slowed_ns(self) -> int:
        """By which the captured steps took longer than those without the profiler."""
        recording = self.recording
        if recording is None or not recording.unprofiled_step_ns or not recording.profiled_step_ns:
            return 0
        return max(0, recording.profiled_step_ns - recording.unprofiled_step_ns)

    @cached_property
    def _slowed_ns_per_byte(self) -> float:
        in_system = self.recording.more_system_ns if self.recording else None
        slowed_ns = self.slowed_ns if in_system is None else min(self.slowed_ns, in_system)
        return slowed_ns / max(1, sum(self.fresh_bytes(node) for node in self.nodes))

    def fresh_bytes(self, node: Node) -> int:
        """Bytes that it writes to memory of its own, or of the operator that it fills for, as a clone."""
        above = int(self.trace.ops.parent[node.row])
        filling = node.call.name in UNREAD and above >= 0 and self.trace.ops.kind[above] == OpKind.OP
        fresh = filling or not node.call.name.endswith("_")
        return node.cost.write_bytes if node.cost and fresh else 0

    @cached_property
    def names(self) -> frozenset[str]:
        """Of all nodes."""
        return frozenset(node.name for node in self.nodes)

    def has_scope(self, test: Callable[[str], object]) -> bool:
        """Whether anything in the trace bears such a name: where nothing does, no node has such a scope."""
        return any(map(test, self.trace.names))

    @cached_property
    def threads(self) -> list[int]:
        """Of each node the host thread."""
        threads: list[int] = self.trace.ops.thread[[node.row for node in self.nodes]].tolist()
        return threads

    @property
    def floor_ns(self) -> float:
        """What even an empty kernel takes."""
        return self.judged.launch_floor_ns

    @property
    def step_ns(self) -> float:
        """Of the window, what falls to this graph; all of it for a whole trace that names no steps."""
        return self.window_ns / self.step_count

    def above(self, node: Node) -> Iterator[int]:
        """Rows in Trace.ops of what encloses it, from the inside out."""
        parent = self.trace.ops.parent
        row = int(parent[node.row])
        while row >= 0:
            yield row
            row = int(parent[row])

    def scopes(self, node: Node) -> list[str]:
        """Names of what encloses it, from the inside out."""
        return [self.trace.names[self.trace.ops.name[row]] for row in self.above(node)]

    def compiled(self, node: Node) -> bool:
        """Whether a compiler made it, or it runs in a region that one has compiled."""
        return node.call.triton or bool(self._under_compiled[node.row])

    @cached_property
    def _under_compiled(self) -> Bools:
        """Of each op, whether it is inside a compiled region."""
        ops = self.trace.ops
        inside: Bools = above(ops.parent, ops.kind == OpKind.COMPILED) >= 0
        return inside

    @cached_property
    def of_each_call(self) -> tuple[Node, ...]:
        """One node of every distinct call: for what holds of a call whenever it is invoked."""
        return tuple({id(node.call): node for node in self.nodes}.values())

    def once(self, find: Callable[[StepGraph], Fact]) -> Fact:
        """`find(self)`, worked out when it is first asked for: several rules ask the same of one step."""
        if find not in self._found:
            self._found[find] = find(self)
        return cast(Fact, self._found[find])

    @cached_property
    def _found(self) -> dict[Callable[[StepGraph], object], object]:
        return {}


def step_graph(judged: Judged, all_steps: Judged | None = None) -> StepGraph | None:
    """The stretch of the trace that suggestions are looked for in; None without operators.

    `all_steps`: where `judged` is one step of several, the same over all of them.
    """
    stretch = stretch_of(judged)
    if stretch is None:
        return None
    flow = dataflow(judged.priced, stretch.step)
    return StepGraph(
        judged=judged, stretch=stretch, nodes=tuple(_nodes(judged.priced, flow.step_ops)), edges=flow.edges,
        executed=flow.executed, external_reads=flow.external_reads, argument_tensors=flow.argument_tensors,
        freed_in_step=flow.freed_in_step, notices=flow.notices,
        all_steps=all_steps if all_steps is not judged else None,
    )  # fmt: skip


def _nodes(priced: Priced, working: StepOps) -> Iterator[Node]:
    """One for each working operator; what holds for every invocation of a call is asked once."""
    ops, names = priced.trace.ops, priced.trace.names
    calls = ops.call[working.op].tolist()
    facts = {row: _CallFacts.of(priced.prices[row]) for row in set(calls)}
    columns = (working.op, ops.phase[working.op], ops.module[working.op], working.time_ns, working.records)
    rows = zip(calls, *(column.tolist() for column in columns), strict=True)
    for place, (call, row, phase, module, time_ns, records) in enumerate(rows):
        fact = facts[call]
        yield Node(
            place, row, fact.call, fact.cost, time_ns, records,
            PHASES[phase] if phase >= 0 else None, names[module] if module >= 0 else None,
            fact.name, fact.fusible, fact.elements, fact.reduced,
        )  # fmt: skip


class _CallFacts(msgspec.Struct, frozen=True):
    """What holds for every invocation of one call."""

    call: OpCall
    cost: Cost | None
    name: str
    fusible: Fusible
    elements: int
    reduced: int | None

    @classmethod
    def of(cls, priced: PricedCall) -> _CallFacts:
        name = priced.call.name.removeprefix("aten::").rstrip("_")
        if priced.known is None:
            return cls(priced.call, None, name, priced.fusible, 0, None)
        return cls(priced.call, priced.known, name, priced.fusible, elements(priced), reduced(priced))


def _by(edges: Sequence[Edge], keys: Sequence[int]) -> dict[int, list[Edge]]:
    grouped: dict[int, list[Edge]] = {}
    for key, edge in zip(keys, edges, strict=True):
        grouped.setdefault(key, []).append(edge)
    return grouped
