"""One step as rules see it: its operators with cost and time, and the producer-consumer edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from traceanalyzer.cost.fusible import elements, reduced
from traceanalyzer.fusion.evidence.dataflow import Edge, ExternalRead, Tensor, dataflow
from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.records import Cost, Device, IdleCause, OpCall, OpRow, Recording
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.priced import Fusible, PricedCall
from traceanalyzer.records.trace import PHASES, OpKind, Step, Trace, Window

_MOST = 300_000  # kernels of a trace without steps
_LEAST_LEFT = 0.3  # of a record's time, whatever is taken off


@dataclass(frozen=True, slots=True)
class Node:
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
        return self.cost.bytes if self.cost else 0


Free = Callable[[Node], bool]
"""Whether no rule before has claimed a node."""


@dataclass(frozen=True, eq=False)
class StepGraph:
    """One step of a trace, and what the analysis found out about the whole."""

    judged: Judged
    step: Step
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    executed: bool  # every edge between nodes is known
    external_reads: tuple[ExternalRead, ...] = ()
    argument_tensors: Mapping[tuple[int, int], Tensor] = field(
        default_factory=dict
    )  # of (place, argument), if proved
    freed_in_step: frozenset[int] = frozenset()  # places of nodes whose results are gone before the step ends

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

    @property
    def recording(self) -> Recording | None:
        """What the collector knew."""
        return self.trace.recording

    @property
    def busy_ns(self) -> int:
        """Busy time of the window."""
        return self.judged.time.busy_ns

    @property
    def window_ns(self) -> int:
        """Busy and idle time of the window."""
        return self.judged.window_ns

    @property
    def step_count(self) -> int:
        """What totals of the window are divided by; 1 where the trace has no steps."""
        return self.judged.step_count

    @property
    def has_steps(self) -> bool:
        """Whether the trace says where a step begins and ends."""
        return self.judged.has_steps

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
        found: dict[int, list[ExternalRead]] = {}
        for read in self.external_reads:
            found.setdefault(read.consumer, []).append(read)
        return found

    def row_of(self, node: Node) -> OpRow | None:
        """The op row that the node's kernels are counted in, with its verdict; None where there is none."""
        row = self._row_of_op.get(node.row, -1)
        return self.judged.table[row] if row >= 0 else None

    @cached_property
    def _row_of_op(self) -> dict[int, int]:
        """Place in Judged.table by row in Trace.ops, of every op that a record belongs to."""
        priced, kernels = self.judged.priced, self.trace.kernels
        op = np.where(priced.priced_op >= 0, priced.priced_op, kernels.op)
        return dict(zip(op.tolist(), self.judged.times.row.tolist(), strict=True))

    def undisturbed_ns(self, nodes: Sequence[Node]) -> float:
        """Time of their records; on a CPU without what the profiler adds to it.

        The profiler's own memory keeps the allocator from handing out the same pages again, so that tensors
        are written to new ones, which the system has to clear first: one operator takes 0.6 ms in one step
        and 2 ms in the next. What the captured steps took longer than those before is taken off by bytes.
        """
        if not self.trace.on_cpu:
            return float(sum(node.time_ns for node in nodes))
        return sum(
            max(_LEAST_LEFT * node.time_ns, node.time_ns - self._slowed_ns_per_byte * self._fresh(node))
            for node in nodes
        )  # fmt: skip

    @cached_property
    def _slowed_ns_per_byte(self) -> float:
        recording = self.recording
        if recording is None or not recording.unprofiled_step_ns or not recording.profiled_step_ns:
            return 0.0
        longer = max(0, recording.profiled_step_ns - recording.unprofiled_step_ns)
        return longer / max(1, sum(self._fresh(node) for node in self.nodes))

    def _fresh(self, node: Node) -> int:
        """Bytes that it writes to memory of its own, or of the operator that it fills for, as a clone."""
        above = int(self.trace.ops.parent[node.row])
        filling = node.call.name in UNREAD and above >= 0 and self.trace.ops.kind[above] == OpKind.OP
        own = filling or not node.call.name.endswith("_")
        return node.cost.write_bytes if node.cost and own else 0

    @property
    def floor_ns(self) -> float:
        """What even an empty kernel takes."""
        return self.judged.launch_floor_ns

    @property
    def step_ns(self) -> float:
        """Of the window, as reports say "a step"; all of it where the trace names none."""
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
        kinds = self.trace.ops.kind
        return node.call.triton or any(kinds[row] == OpKind.COMPILED for row in self.above(node))


def step_graph(judged: Judged) -> StepGraph | None:
    """The step of median length; all of a trace that names no steps; None without operators.

    None as well for a long trace that names no steps: nobody waits for what repeats itself a thousand times.
    """
    priced, trace = judged.priced, judged.priced.trace
    if not len(trace.ops) or not judged.has_steps and len(trace.kernels) > _MOST:
        return None
    whole = Step("", 0, int(trace.ops.start_ns.min()), int(trace.ops.end_ns.max()) + 1)
    step = median_step(judged.window) or whole
    flow = dataflow(priced, step)
    ops, units = trace.ops, flow.step_ops
    rows = units.op.tolist()
    calls = ops.call[units.op].tolist()
    known = {row: _known(priced.prices[row]) for row in set(calls)}
    nodes = []
    for place, (row, call) in enumerate(zip(rows, calls, strict=True)):
        cost, name, joined, size, length = known[call]
        nodes.append(Node(
            place, row, priced.prices[call].call, cost,
            int(units.time_ns[place]), int(units.records[place]),
            PHASES[ops.phase[row]] if ops.phase[row] >= 0 else None,
            trace.names[ops.module[row]] if ops.module[row] >= 0 else None, name, joined, size, length,
        ))  # fmt: skip
    return StepGraph(judged, step, tuple(nodes), flow.edges, flow.executed, flow.external_reads,
                     flow.argument_tensors, flow.freed_in_step)  # fmt: skip


def _known(priced: PricedCall) -> tuple[Cost | None, str, Fusible, int, int | None]:
    """What holds for every invocation of one call: its cost, name, kind, elements, and those it reduces."""
    name = priced.call.name.removeprefix("aten::").rstrip("_")
    if priced.known is None:
        return None, name, priced.fusible, 0, None
    return priced.known, name, priced.fusible, elements(priced), reduced(priced)


def median_step(window: Window) -> Step | None:
    """Of an even number the shorter of the two in the middle."""
    by_length = sorted(window.steps, key=lambda step: step.end_ns - step.start_ns)
    return by_length[(len(by_length) - 1) // 2] if by_length else None


def _by(edges: Sequence[Edge], keys: Sequence[int]) -> dict[int, list[Edge]]:
    found: dict[int, list[Edge]] = {}
    for key, edge in zip(keys, edges, strict=True):
        found.setdefault(key, []).append(edge)
    return found
