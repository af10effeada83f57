"""Which operators of a step would be one kernel, and what that kernel would still have to move.

A region is a stretch of neighbors that a compiler can join, connected by tensors that one is known to hand
to the next, with one set of rows where anything is reduced (torch/_inductor/fx_passes/fusion_regions.py takes
the same conservative view). It moves what its members move, less what never leaves it: a tensor that a later
member reads need not be read again, and one that nobody else reads need not be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from traceanalyzer.cost.fusible import SOURCE, VALUES
from traceanalyzer.fusion.evidence.dataflow import Edge, Tier
from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.fusion.evidence.free_events import tensor_bytes
from traceanalyzer.fusion.pages import is_mapped
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

# What PyTorch's compiler calls as it is on a CPU with several threads: torch/_inductor/utils.py,
# use_scatter_fallback, and torch/_inductor/config.py, cpp.fallback_scatter_reduce_sum.
_CALLED_ON_CPU = ("scatter_add",)
_ADDED_BY_ATEN = ("index_put", "_index_put_impl", "_unsafe_index_put")
_MAX_ADDED_UP = 8  # parts that one loop reads: torch/_inductor/config.py, realize_acc_reads_threshold
_MAX_PIECES = 8  # that a GPU's kernel computes in place: torch/_inductor/config.py, max_pointwise_cat_inputs
RANDOM = ("bernoulli", "native_dropout", "normal", "uniform", "rand", "randn")
_MAX_OPERATORS = 64  # operators in one region: torch/_inductor/config.py, max_fusion_size


class Region(msgspec.Struct, frozen=True):
    """Nodes in their order, at least two, and the edges between them."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    read: dict[int, int]  # bytes of each node that its replacement still reads, by place
    written: dict[int, int]  # and writes
    inside: frozenset[int]  # places of nodes of whose result nothing is needed outside

    @property
    def bytes_before(self) -> int:
        """What its members read and write by themselves."""
        return sum(node.bytes for node in self.nodes)

    @property
    def bytes_after(self) -> int:
        """What its replacement reads and writes."""
        return sum(self.read.values()) + sum(self.written.values())

    def share_after(self, without: frozenset[int] = frozenset()) -> float:
        """Of the traffic before, CPU-weighted, what remains; `without` the nodes at these places."""
        nodes = [node for node in self.nodes if node.place not in without]
        before = sum(weight(n, n.cost.read_bytes, n.cost.write_bytes) for n in nodes if n.cost)
        after = sum(weight(n, self.read.get(n.place, 0), self.written.get(n.place, 0)) for n in nodes)
        return after / before if before else 1.0

    @property
    def tier(self) -> Tier:
        """The least sure of those that hold it together."""
        return max(edge.tier for edge in self.edges)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its operators, in their order."""
        return tuple(node.name for node in self.nodes)


def regions(graph: StepGraph, free: Free) -> Iterator[Region]:
    """Those among the nodes that are `free` to be joined, each node in one at most."""
    spans = graph.once(_Spans)
    every = [
        each for span in spans.all for part in _free_parts(span, free) for each in spans.regions(graph, part)
    ]
    yield from _added_up(graph, every) if graph.executed else every


class _Spans:
    """Stretches of at least two nodes that a compiler may join; and what it joins, as rules ask for it."""

    def __init__(self, graph: StepGraph) -> None:
        self.all = [span for span in _all_spans(graph) if len(span) > 1]
        self._regions: dict[tuple[int, int], tuple[Region, ...]] = {}  # by the part's first and last place

    def regions(self, graph: StepGraph, part: list[Node]) -> tuple[Region, ...]:
        """Those of a part of a span; most parts are whole spans, of which every rule asks."""
        if len(part) < 2:
            return ()
        ends = (part[0].place, part[-1].place)
        if ends not in self._regions:
            self._regions[ends] = tuple(_connected(graph, part))
        return self._regions[ends]


def _all_spans(graph: StepGraph) -> Iterator[list[Node]]:
    """Stretches of one thread and one phase without anything opaque."""
    thread = graph.threads
    span: list[Node] = []
    for node in graph.nodes:
        fits = node.cost is not None and joins(graph, node)
        if span and not (
            fits and span[-1].phase == node.phase and thread[span[-1].place] == thread[node.place]
        ):
            yield span
            span = []
        if fits:
            span.append(node)
    yield span


def _free_parts(span: list[Node], free: Free) -> Iterator[list[Node]]:
    """What lies between nodes that are claimed."""
    if free.taken.isdisjoint(range(span[0].place, span[-1].place + 1)):
        yield span
        return
    part: list[Node] = []
    for node in span:
        if free(node):
            part.append(node)
        elif part:
            yield part
            part = []
    yield part


def weight(node: Node, read: int, written: int) -> float:
    """CPU-weighted bytes: a cache line is read before it is written, unless it was read anyway; and the
    system clears new pages. In reads, as measured: docs/savings.md."""
    if node.call.name.endswith("_"):
        return read + written
    return read + (8 if is_mapped(written) else 3) * written


def joins(graph: StepGraph, node: Node) -> bool:
    """Whether a compiler makes it a part of others; on a CPU its random numbers take longer than ATen's."""
    on_cpu = graph.trace.on_cpu and node.name in (*RANDOM, *_CALLED_ON_CPU)
    return node.fusible != "opaque" and not on_cpu


def added_through_index(graph: StepGraph, node: Node) -> bool:
    """Whether generated code adds it up element by element, each an atomic operation."""
    return node.fusible == "scatter" and bool(node.cost and node.cost.flops) and joins(graph, node)


def added_as_before(graph: StepGraph, node: Node) -> bool:
    """Whether ATen does that just so on a CPU: aten/src/ATen/native/cpu/IndexKernel.cpp, index_put_kernel."""
    return graph.trace.on_cpu and node.name in _ADDED_BY_ATEN and added_through_index(graph, node)


def _one_loop(graph: StepGraph, edge: Edge) -> bool:
    """Whether generated code may hand it from one operator to the next: element by element, in its order.

    What is read through an index is in memory before, what is stored through one behind.
    """
    producer, consumer = graph.nodes[edge.producer], graph.nodes[edge.consumer]
    if producer.fusible == "scatter":
        return False
    if consumer.fusible == "gather":
        return bool(taken := _arguments(graph, edge)) and SOURCE not in taken
    if consumer.fusible == "scatter":
        return _arguments(graph, edge) == {VALUES.get(consumer.call.name)}
    return True


def _reads_slice(graph: StepGraph, edge: Edge) -> bool:
    """Whether it is proved that a part of a tensor is read that is made element by element."""
    producer, consumer = graph.nodes[edge.producer], graph.nodes[edge.consumer]
    written = producer.cost.write_bytes if producer.cost else 0
    part = edge.tier == "T1" and producer.fusible == "element" and 0 < edge.bytes < written
    return part and edge.bytes * producer.elements == consumer.elements * written


def _passed_on(graph: StepGraph, edge: Edge) -> bool:
    """Whether it need not be in memory in between. A concatenation is stored, though its pieces are not,
    on a CPU and of many pieces (torch/_inductor/lowering.py, cat)."""
    maker = graph.nodes[edge.producer]
    joined = maker.fusible == "pieces" and maker.call.name != "aten::constant_pad_nd"
    many = joined and sum(isinstance(dims, tuple) for dims in maker.call.dims(0) or ()) > _MAX_PIECES
    return _one_loop(graph, edge) and not (joined and (graph.trace.on_cpu or many))


def _arguments(graph: StepGraph, edge: Edge) -> set[int]:
    """As which arguments the consumer takes what the producer made: as proved, else the only one of its
    size; none where that is unknown."""
    consumer, cost = graph.nodes[edge.consumer], graph.nodes[edge.producer].cost
    indices = [index for index, *_ in consumer.call.tensors()]
    proved_at = [at for at in indices if (edge.consumer, at) in graph.argument_tensors]
    proved = {at for at in proved_at if graph.argument_tensors[edge.consumer, at][0] == edge.producer}
    if proved:
        return proved
    fits = {
        at for at, dims, dtype, _ in consumer.call.tensors()
        if at not in proved_at and cost and tensor_bytes(dims, dtype) == cost.write_bytes
    }  # fmt: skip
    return fits if len(fits) == 1 else set()


def _connected(graph: StepGraph, span: Sequence[Node]) -> Iterator[Region]:
    """The connected parts of a stretch without anything opaque."""
    groups: list[_Group] = []
    of: dict[int, _Group] = {}
    tied = (node for node in span if node.place in graph.into or node.place in graph.out_of)
    for node in tied:
        into = [edge for edge in graph.into.get(node.place, ()) if edge.producer in of]
        handed = [edge for edge in into if _one_loop(graph, edge)]
        sources = {id(of[edge.producer]): of[edge.producer] for edge in handed}
        whole = {id(of[edge.producer]) for edge in handed if not _reads_slice(graph, edge)}
        sliced = bool(handed) and not whole
        home = next((group for group in sources.values() if group.takes(node, sliced=sliced)), None)
        if home is None:
            home = _Group()
            groups.append(home)
        home.add(node, sliced=sliced)
        of[node.place] = home
        for other in sources.values():
            if other is home:
                continue
            in_part = id(other) not in whole
            if home.joins_slice(other) if in_part else home.joins(other, as_piece=node.fusible == "pieces"):
                for member in other.nodes:
                    of[member.place] = home
                home.nodes = sorted([*home.nodes, *other.nodes], key=lambda member: member.place)
                groups.remove(other)
    yield from (region(graph, group.nodes) for group in groups if len(group.nodes) > 1)


def _added_up(graph: StepGraph, every: Sequence[Region]) -> Iterator[Region]:
    """The same; what is added up in place, one part after the other, is added up at once.

    So are gradients of a loop's steps: a compiler computes a sum where it is read, until that reads too much.
    """
    home = {node.place: each for each in every for node in each.nodes}
    parts = {id(each): [each] for each in every}  # what has become a part of each
    for each in every:
        reader = _overwriting(graph, each, home)
        target = parts.get(id(reader)) if reader is not None else None
        if target is not None and target is not parts[id(each)]:
            merged = [*parts[id(each)], *target]
            if len(merged) <= _MAX_ADDED_UP and sum(len(part.nodes) for part in merged) <= _MAX_OPERATORS:
                del parts[id(each)]
                parts[id(reader)] = merged
    for joined in parts.values():
        nodes = sorted((node for part in joined for node in part.nodes), key=lambda node: node.place)
        yield region(graph, nodes) if len(joined) > 1 else joined[0]


def _overwriting(graph: StepGraph, each: Region, home: dict[int, Region]) -> Region | None:
    """The later region that overwrites the only result of this one, which nobody else reads."""
    inner = {node.place for node in each.nodes}
    leaving = [
        edge for node in each.nodes for edge in graph.out_of.get(node.place, ()) if edge.consumer not in inner
    ]
    if len(leaving) != 1 or not _is_overwritten(graph, leaving[0]):
        return None
    reader = home.get(leaving[0].consumer)
    sides = (*each.nodes, *(reader.nodes if reader is not None else ()))
    alike = all(node.fusible == "element" and node.elements == sides[0].elements for node in sides)
    return reader if alike and {node.phase for node in sides} == {each.nodes[0].phase} else None


def _is_overwritten(graph: StepGraph, edge: Edge) -> bool:
    """Whether the consumer writes its result in the place of what it is handed."""
    consumer = graph.nodes[edge.consumer]
    return consumer.call.name.endswith("_") and edge.tier == "T1" and 0 in _arguments(graph, edge)


class _Group:
    """Nodes that may be one kernel: as many elements each, or as many rows, of one length."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.size: int = 0  # elements of its largest member
        self.row: int | None = None  # elements that its reductions make one of

    def takes(self, node: Node, *, sliced: bool) -> bool:
        """Whether it may join; `sliced`: it reads a part of what is made, which is made where it is read."""
        if sliced and not self.row and not node.reduced:
            return len(self.nodes) < _MAX_OPERATORS and node.elements <= self.size
        as_piece = node.fusible == "pieces" and not self.row and self.size <= node.elements
        fits = as_piece or self._fits(node.elements, node.reduced)
        return len(self.nodes) < _MAX_OPERATORS and fits

    def add(self, node: Node, *, sliced: bool) -> None:
        self.size = node.elements if sliced else max(self.size, node.elements)
        self.nodes.append(node)
        self.row = self.row or node.reduced

    def joins(self, other: _Group, *, as_piece: bool) -> bool:
        """Takes over the other's sizes, where the two fit; `as_piece`: it makes a part of the result."""
        smaller = as_piece and not other.row and other.size <= self.size
        if len(self.nodes) + len(other.nodes) > _MAX_OPERATORS:
            return False
        if not smaller and not self._fits(other.size, other.row):
            return False
        self.size, self.row = max(self.size, other.size), self.row or other.row
        return True

    def joins_slice(self, other: _Group) -> bool:
        """Where a part is read of what the other makes, which is made where it is read."""
        return len(self.nodes) + len(other.nodes) <= _MAX_OPERATORS and not other.row

    def _fits(self, size: int, row: int | None) -> bool:
        if row and self.row and row != self.row:
            return False
        rows = row or self.row or 0
        return size == self.size or rows * min(size, self.size) == max(size, self.size)


def region(graph: StepGraph, nodes: Sequence[Node]) -> Region:
    """Of these nodes, whatever they are: its edges, and what remains to be moved."""
    places = {node.place for node in nodes}
    into = [edge for node in nodes for edge in graph.into.get(node.place, ()) if edge.producer in places]
    edges = tuple(edge for edge in into if _passed_on(graph, edge))
    inside = frozenset(e.producer for e in edges if e.last or _stays_inside(graph, e.producer, places))
    return Region(tuple(nodes), edges, *_remaining(graph, nodes, edges, inside), inside)


def _remaining(
    graph: StepGraph, nodes: Sequence[Node], edges: Sequence[Edge], inside: frozenset[int]
) -> tuple[dict[int, int], dict[int, int]]:
    """Of each node the bytes that come from outside, and those that are needed there."""
    read = {node.place: node.cost.read_bytes for node in nodes if node.cost}
    wrote = {node.place: node.cost.write_bytes for node in nodes if node.cost}
    full = dict(wrote)
    for edge in edges:
        if edge.consumer in read:
            read[edge.consumer] = max(0, read[edge.consumer] - edge.bytes)
    for place, amount in _read_again(graph, list(read)).items():
        read[place] = max(0, read[place] - amount)
    for edge in edges:
        if edge.producer in inside and edge.producer in wrote:
            # Of what frees prove, another result may live on: the mask of a dropout.
            wrote[edge.producer] = 0 if graph.executed else max(0, full[edge.producer] - edge.bytes)
    return read, wrote


def _stays_inside(graph: StepGraph, producer: int, places: set[int]) -> bool:
    """Whether all that read what it makes are known, and are inside, and nobody keeps it for later."""
    readers = graph.out_of[producer]
    if not graph.executed:
        return False
    if not all(edge.consumer in places and _passed_on(graph, edge) for edge in readers):
        return False
    node = graph.nodes[producer]
    if len(readers) == 1 and _is_overwritten(graph, readers[0]):
        return True
    if node.call.name.endswith("_") and node.call.name not in UNREAD:  # what it only writes was made for it
        return any(other in graph.freed_in_step for other in _made_inside(graph, node, places))
    return producer in graph.freed_in_step


def _made_inside(graph: StepGraph, node: Node, places: set[int]) -> list[int]:
    """Of what it changes in place, the members that made it."""
    amount = node.cost.write_bytes if node.cost else 0
    into = graph.into.get(node.place, ())
    return [edge.producer for edge in into if edge.producer in places and edge.bytes >= amount]


def _read_again(graph: StepGraph, places: Sequence[int]) -> dict[int, int]:
    """Of each member the bytes that an earlier one has read from the same tensor outside."""
    seen: dict[int, int] = {}
    again: dict[int, int] = {}
    within = set(places)
    for place in sorted(places):
        edges = [edge for edge in graph.into.get(place, ()) if edge.tier == "T1"]
        reads = [(edge.producer, edge.bytes) for edge in edges if edge.producer not in within]
        reads += [(outer.origin, outer.bytes) for outer in graph.external_reads_of.get(place, ())]
        for source, amount in reads:
            already = seen.get(source, 0)
            again[place] = again.get(place, 0) + min(already, amount)
            seen[source] = max(already, amount)
    return again
