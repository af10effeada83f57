"""One step as rules see it: what worked in it, what that cost and took, and who hands what to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from traceanalyzer.cost.price import Ownership
from traceanalyzer.cost.registry import price_call
from traceanalyzer.fusion.evidence.dataflow import Edge, ExternalRead, Tensor, dataflow
from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.fusion.fusibility import Kind, elements, kind, reduced
from traceanalyzer.records import Analysis, Cost, OpCall
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
    kind: Kind
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

    trace: Trace
    step: Step
    analysis: Analysis
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    executed: bool  # every edge between nodes is known
    external_reads: tuple[ExternalRead, ...] = ()
    argument_tensors: Mapping[tuple[int, int], Tensor] = field(
        default_factory=dict
    )  # of (place, argument), if proved
    freed_in_step: frozenset[int] = frozenset()  # places of nodes whose results are gone before the step ends

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
        recording = self.analysis.recording
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
        return self.analysis.thresholds["launch_floor_ns"]

    @property
    def step_ns(self) -> float:
        """Of the window, as reports say "a step"; all of it where the trace names none."""
        time = self.analysis.time
        return (time.busy_ns + time.idle_ns) / max(1, len(self.analysis.window.steps))

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


def step_graph(trace: Trace, ownership: Ownership, window: Window, analysis: Analysis) -> StepGraph | None:
    """The step of median length; all of a trace that names no steps; None without operators.

    None as well for a long trace that names no steps: nobody waits for what repeats itself a thousand times.
    """
    if not len(trace.ops) or not window.steps and len(trace.kernels) > _MOST:
        return None
    step = median_step(window) or Step("", 0, int(trace.ops.start_ns.min()), int(trace.ops.end_ns.max()) + 1)
    flow = dataflow(trace, ownership, step)
    ops = trace.ops
    rows = flow.units.op.tolist()
    known = {row: _known(trace.calls[row]) for row in {int(ops.call[op]) for op in rows}}
    nodes = []
    for place, row in enumerate(rows):
        call = int(ops.call[row])
        cost, name, joined, size, length = known[call]
        nodes.append(Node(
            place, row, trace.calls[call], cost,
            int(flow.units.time_ns[place]), int(flow.units.records[place]),
            PHASES[ops.phase[row]] if ops.phase[row] >= 0 else None,
            trace.names[ops.module[row]] if ops.module[row] >= 0 else None, name, joined, size, length,
        ))  # fmt: skip
    return StepGraph(trace, step, analysis, tuple(nodes), flow.edges, flow.executed, flow.external_reads,
                 flow.argument_tensors, flow.freed_in_step)  # fmt: skip


def _known(call: OpCall) -> tuple[Cost | None, str, Kind, int, int | None]:
    """What holds for every invocation of one call: its cost, name, kind, elements, and those it reduces."""
    priced = price_call(call)
    cost = priced if isinstance(priced, Cost) else None
    name = call.name.removeprefix("aten::").rstrip("_")
    if cost is None:
        return None, name, kind(call), 0, None
    return cost, name, kind(call), elements(call, cost), reduced(call, cost)


def median_step(window: Window) -> Step | None:
    """Of an even number the shorter of the two in the middle."""
    by_length = sorted(window.steps, key=lambda step: step.end_ns - step.start_ns)
    return by_length[(len(by_length) - 1) // 2] if by_length else None


def _by(edges: Sequence[Edge], keys: Sequence[int]) -> dict[int, list[Edge]]:
    found: dict[int, list[Edge]] = {}
    for key, edge in zip(keys, edges, strict=True):
        found.setdefault(key, []).append(edge)
    return found
