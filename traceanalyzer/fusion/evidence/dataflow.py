"""Producer-consumer edges between the operators of one step, each with its tier of evidence.

T1: an executed step proves it, storage by storage. T2: the tensor is freed while only its reader can have
held it, or it is the only one of its size in use. T3: neighbors in one module, of which the second takes a
tensor of the size, shape and type that the first makes; true of four in five, so that nothing but a
possibility follows from it. Less is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal, TypeVar

import msgspec
import numpy as np

from traceanalyzer.fusion.evidence.execution_trace import UNREAD, Range, executed, flows
from traceanalyzer.fusion.evidence.free_events import (
    Lifetimes,
    freed_in_step,
    lifetimes_of,
    proved,
    tensor_bytes,
)
from traceanalyzer.fusion.evidence.unique_block import only_one
from traceanalyzer.fusion.step_ops import StepOps, step_ops
from traceanalyzer.inference.align_steps import matched
from traceanalyzer.records import Notice, OpCall
from traceanalyzer.records.priced import Priced, PricedCall
from traceanalyzer.records.trace import Ids, Step, Trace

Tier = Literal["T1", "T2", "T3"]
Found = TypeVar("Found")
_MATCHED = 0.5  # an executed step of which less is found again in the timed one is another kind of step


class Edge(msgspec.Struct, frozen=True):
    """One operator reads what another made; both as places in `Dataflow.step_ops`."""

    producer: int
    consumer: int
    tier: Tier
    bytes: int  # read
    last: bool  # nobody else reads it, then or later


class ExternalRead(msgspec.Struct, frozen=True):
    """One operator reads what was there before the step; `origin` is equal for one tensor."""

    origin: int
    consumer: int
    bytes: int


Tensor = tuple[int, Range]  # who wrote it last (below 0: before the step) and where it lies; equal for one


class Dataflow(msgspec.Struct, frozen=True, eq=False):
    """One step's operators and the edges between them, by consumer; none twice."""

    step_ops: StepOps
    edges: tuple[Edge, ...]
    executed: bool  # every edge between operators is known, not only those of neighbors
    external_reads: tuple[ExternalRead, ...] = ()
    # of (place, argument), if proved
    argument_tensors: Mapping[tuple[int, int], Tensor] = msgspec.field(default_factory=dict)
    freed_in_step: frozenset[int] = frozenset()  # places whose results are gone before the step ends
    notices: tuple[Notice, ...] = ()  # which evidence could not be used


def dataflow(priced: Priced, step: Step) -> Dataflow:
    """Of one timed step. Each edge bears the surest of its tiers."""
    trace, working = priced.trace, step_ops(priced, step)
    notices: list[Notice] = []
    by_execution = _try("the executed step", lambda: _executed(trace, working, step), None, notices)
    tiers: dict[tuple[int, int], Tier] = {}
    if by_execution is None:
        tiers |= dict.fromkeys(_neighbors(priced, working), "T3")
    lifetimes = _try("frees of memory", lambda: _lifetimes(trace), None, notices)
    freed: set[tuple[int, int]] = set()
    if lifetimes is not None and (by_execution is None or not by_execution.whole):
        freed, alone = _by_memory(priced, working, step, lifetimes, notices)
        tiers |= dict.fromkeys([*freed, *alone], "T2")
    tiers |= dict.fromkeys(by_execution.bytes if by_execution else (), "T1")
    bytes_read = by_execution.bytes if by_execution else {}
    gone: frozenset[int] = frozenset()
    if lifetimes is not None:
        gone = _try(
            "frees of memory", lambda: freed_in_step(trace, working, lifetimes, step.end_ns), gone, notices
        )
    costs = _Costs(priced, working)
    return Dataflow(
        step_ops=working,
        edges=tuple(_edges(costs, tiers, freed, bytes_read)),
        executed=by_execution is not None and by_execution.whole,
        external_reads=tuple(
            ExternalRead(producer, consumer, min(amount, costs.read(consumer)))
            for (producer, consumer), amount in sorted(bytes_read.items())
            if producer < 0
        ),
        argument_tensors=by_execution.given if by_execution else {},
        freed_in_step=gone,
        notices=tuple(dict.fromkeys(notices)),
    )


def _lifetimes(trace: Trace) -> Lifetimes | None:
    return lifetimes_of(trace.memory) if trace.memory is not None else None


def _by_memory(
    priced: Priced, working: StepOps, step: Step, lifetimes: Lifetimes, notices: list[Notice]
) -> tuple[set[tuple[int, int]], list[tuple[int, int]]]:
    """(Producer, consumer) as frees prove it of neighbors, and as the blocks in use prove it of any two."""
    freed: set[tuple[int, int]] = set()
    freed = _try("frees of memory", lambda: set(proved(priced.trace, working, lifetimes)), freed, notices)
    alone: list[tuple[int, int]] = []
    alone = _try(
        "blocks in use",
        lambda: only_one(priced, working, lifetimes, freed, step.start_ns),
        alone,
        notices,
    )
    return freed, alone


def _try(what: str, evidence: Callable[[], Found], otherwise: Found, notices: list[Notice]) -> Found:
    """One piece of evidence; where it cannot be read the rest stands, and a notice says so."""
    try:
        return evidence()
    except Exception as error:  # whatever a recording holds, the report arrives
        text = f"{what}: {type(error).__name__}: {error}; suggestions do without this evidence"
        notices.append(Notice("evidence_unreadable", text))
        return otherwise


def _edges(
    costs: _Costs,
    tiers: Mapping[tuple[int, int], Tier],
    freed: Collection[tuple[int, int]],
    bytes_read: Mapping[tuple[int, int], int],
) -> Iterator[Edge]:
    """By consumer, then producer. `bytes_read`: bytes that an executed step has seen read."""
    for consumer, producer in sorted((consumer, producer) for producer, consumer in tiers if producer >= 0):
        if not costs.reads(consumer):
            continue  # as ones_like, which is given a tensor and asks for its size
        pair = (producer, consumer)
        most = min(costs.written(producer), costs.read(consumer))
        yield Edge(producer, consumer, tiers[pair], min(bytes_read.get(pair, most), most), pair in freed)


class _Costs:
    """Bytes of each operator, each distinct call priced once."""

    def __init__(self, priced: Priced, working: StepOps) -> None:
        self._call = priced.trace.ops.call[working.op].tolist()
        self._cost = {row: priced.prices[row].cost for row in set(self._call)}

    def written(self, place: int) -> int:
        return self._cost[self._call[place]].write_bytes or 0

    def reads(self, place: int) -> bool:
        return self._cost[self._call[place]].read_bytes != 0

    def read(self, place: int) -> int:
        return self._cost[self._call[place]].read_bytes or 0


class _Read(msgspec.Struct, frozen=True):
    """What an executed step proves of the operators of the timed one."""

    bytes: dict[tuple[int, int], int]  # that each consumer reads of each producer's
    given: dict[tuple[int, int], Tensor]  # arguments that one operator wrote, or none
    whole: bool  # every operator was found again, so that no reader is missing


def _executed(trace: Trace, working: StepOps, step: Step) -> _Read | None:
    """None where no step like this one was executed."""
    given = executed(trace.evidence) if trace.evidence is not None else None
    if given is None:
        return None
    (rows,) = matched([given.names[name] for name in given.name], given.thread, trace, [step])
    place = _places(len(trace.ops), working.op)[rows]
    place[rows < 0] = -1
    again = len(np.unique(place[place >= 0]))
    if again < _MATCHED * len(working.op):
        return None
    works = (place >= 0).tolist()
    amounts: dict[tuple[int, int], int] = {}
    given_to: dict[tuple[int, int], set[Tensor]] = {}
    for flow in flows(given, works):
        source = int(place[flow.producer]) if flow.producer >= 0 else flow.producer
        pair = (source, int(place[flow.consumer]))
        amounts[pair] = amounts.get(pair, 0) + flow.bytes
        given_to.setdefault((pair[1], flow.argument), set()).add((source, flow.tensor))
    tensors = {argument: next(iter(writers)) for argument, writers in given_to.items() if len(writers) == 1}
    return _Read(amounts, tensors, again == len(working.op))


def _places(count: int, rows: Ids) -> Ids:
    """Of each op its place among `rows`; -1."""
    place = np.full(count, -1, np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    return place


def _neighbors(priced: Priced, working: StepOps) -> list[tuple[int, int]]:
    """Neighbors in one module, of which the second takes what the first makes; a pair is asked once."""
    ops = priced.trace.ops
    first, second = working.op[:-1], working.op[1:]
    near = (ops.thread[first] == ops.thread[second]) & (ops.module[first] == ops.module[second])
    places = np.flatnonzero(near)
    pairs = list(zip(ops.call[first[near]].tolist(), ops.call[second[near]].tolist(), strict=True))
    fits = {pair: _fits(priced.prices[pair[0]], priced.calls[pair[1]]) for pair in set(pairs)}
    return [(at, at + 1) for at, pair in zip(places.tolist(), pairs, strict=True) if fits[pair]]


def _fits(maker: PricedCall, taker: OpCall) -> bool:
    """Whether `taker` is given a tensor as `maker` makes one, of its own dims and type and of no other's.

    Loops over a list call one operator again and again: such neighbors have nothing to do with each other.
    """
    maker_cost = maker.known
    if maker_cost is None or maker.call.name == taker.name:
        return False
    unread = UNREAD.get(taker.name, ())
    shapes = maker.call.shapes
    return any(
        place not in unread and dims in shapes and tensor_bytes(dims, dtype) == maker_cost.write_bytes
        for place, dims, dtype, _ in taker.tensors()
    )  # fmt: skip
