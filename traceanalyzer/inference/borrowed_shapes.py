"""Shapes for kernels whose own launch tells none: those of an identical kernel whose launch was recorded.

A kernel launched before the recording began borrows where every identical kernel (name, grid, block)
belongs to one and the same call. A kernel replayed from a graph borrows where the same sequence of
kernels was seen eagerly, or at capture. Nothing is borrowed where calls differ, where a part of an
invocation is missing, or where the kernel took another time than its lenders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from traceanalyzer.cost.price import Ownership
from traceanalyzer.inference.kernel_sequences import Sequences, Signs, sequences, windows
from traceanalyzer.records import Notice, OpCall
from traceanalyzer.records.trace import UNLINKED, Bools, Ids, Ints, RecordKind, Trace
from traceanalyzer.records.units import percent

_GRAPH = UNLINKED.index("cuda_graph")
_BEFORE = (UNLINKED.index("no_launch"), UNLINKED.index("no_correlation"))
_RUN = 8  # kernels in a row that must agree, or the whole graph where it has fewer
_SHORTEST = 3  # a graph of fewer kernels is no evidence
_TIMES = 2  # how far a kernel's time may be from its lenders' median, either way,
_SLACK_NS = 2000  # and by how much besides, for kernels of a few ticks of the clock


@dataclass(frozen=True, slots=True, eq=False)
class _Lender:
    """Kernels whose call is known, with what each can lend: the k-th kernel of a call's invocation."""

    kernels: Sequences
    duration_ns: Ints  # 0: the launch was recorded, the kernel was not
    call: Ids  # row in the calls of the loans; -1: this kernel has nothing to lend
    place: Ids  # k, from 0
    size: Ids  # kernels of the invocation


def borrow(trace: Trace, ownership: Ownership, others: Sequence[tuple[Trace, Ownership]] = ()) -> Ownership:
    """`ownership` with a call and an invocation for every unlinked kernel that can borrow one.

    `others`: further traces that may lend. O(kernels log kernels) in numpy.
    """
    code = trace.kernels.unlinked
    early, graph = np.isin(code, _BEFORE), code == _GRAPH
    if not (early | graph).any():
        return ownership
    vocabulary: dict[str, int] = {}
    calls = _Calls(trace.calls)
    lender = _joined([_lender(one, owned, vocabulary, calls) for one, owned in [(trace, ownership), *others]])
    item = _items(lender)
    if not (item >= 0).any():
        return ownership
    group = np.where(graph, trace.kernels.launch.astype(np.int64) + 1, np.where(early, 0, -1))
    wanted = sequences(trace, group, vocabulary)
    found = _by_sequence(wanted, graph[wanted.record], lender, item)
    alone = _by_itself(wanted, lender, item)
    found = np.where((found < 0) & early[wanted.record], alone, found)
    found[~_took_as_long(trace, wanted, found, lender, item)] = -1
    return _lent(ownership, wanted, found, lender, item, calls)


def loan_warnings(trace: Trace, ownership: Ownership, capture: str | None) -> tuple[Notice, ...]:
    """What a reader must know of the loans; `capture`: the second trace that was asked, if one was."""
    kernels, lent = trace.kernels, ownership.loan >= 0
    found = []
    if lent.any():
        share = int(kernels.duration_ns[lent].sum()) / max(int(kernels.duration_ns.sum()), 1)
        text = (
            f"{percent(share)} of GPU time: kernels whose own launch tells no shapes are priced with those "
            "of identical kernels whose launch was recorded"
        )
        found.append(Notice("borrowed_shapes", text, int(lent.sum())))
    if capture and not lent[kernels.unlinked == _GRAPH].any():
        text = f"{capture} lends no shapes: it holds no sequence of kernels that a graph replayed"
        found.append(Notice("capture_without_match", text))
    return tuple(found)


class _Calls:
    """The calls of the trace itself, and behind them those of other traces that it does not have."""

    def __init__(self, own: Sequence[OpCall]) -> None:
        self.own = own
        self.added: list[OpCall] = []
        self._rows: dict[OpCall, int] = {}

    def row(self, call: OpCall) -> int:
        """Row of an equal call; the first of equals."""
        if not self._rows:
            for place, own in enumerate(self.own):
                self._rows.setdefault(own, place)
        place = self._rows.setdefault(call, len(self.own) + len(self.added))
        if place == len(self.own) + len(self.added):
            self.added.append(call)
        return place


def _lender(trace: Trace, ownership: Ownership, vocabulary: dict[str, int], calls: _Calls) -> _Lender:
    """The linked kernels of one trace; what has no priced call lends nothing but still contradicts."""
    kernels = trace.kernels
    linked = sequences(trace, np.where(kernels.unlinked < 0, 0, -1), vocabulary)
    owner = np.where(ownership.overhead, -1, ownership.priced_op)
    place, size = _places(trace, owner)
    call = np.append(trace.ops.call, np.int32(-1))[owner]
    if trace.calls is not calls.own:
        rows = np.full(len(trace.calls) + 1, -1, np.int32)
        for row in np.unique(call[call >= 0]).tolist():
            rows[row] = calls.row(trace.calls[row])
        call = rows[call]
    mine = linked.record
    call = np.where(size[mine] > 0, call[mine], -1).astype(np.int32)
    return _Lender(linked, kernels.duration_ns[mine], call, place[mine], size[mine])


def _places(trace: Trace, owner: Ids) -> tuple[Ids, Ids]:
    """(k, kernels of the invocation) of each record; 0 kernels where it has no owner or several streams."""
    kernels = trace.kernels
    place, size = np.zeros(len(kernels), np.int32), np.zeros(len(kernels), np.int32)
    mine = np.flatnonzero((owner >= 0) & (kernels.kind == RecordKind.KERNEL))
    mine = mine[np.lexsort((mine, kernels.start_ns[mine], owner[mine]))]
    if not len(mine):
        return place, size
    opens = np.flatnonzero(np.append(True, owner[mine][1:] != owner[mine][:-1]))
    count = np.diff(opens, append=len(mine))
    stream = kernels.stream[mine]
    alone = np.maximum.reduceat(stream, opens) == np.minimum.reduceat(stream, opens)
    place[mine] = np.arange(len(mine)) - np.repeat(opens, count)
    size[mine] = np.repeat(np.where(alone, count, 0), count)
    return place, size


def _joined(lenders: Sequence[_Lender]) -> _Lender:
    """One behind the other, their segments apart."""
    offset = np.cumsum([0, *(int(one.kernels.segment.max(initial=0)) + 1 for one in lenders)])
    segments = [one.kernels.segment + shift for one, shift in zip(lenders, offset, strict=False)]
    kernels = Sequences(
        record=np.concatenate([one.kernels.record for one in lenders]),
        segment=np.concatenate(segments).astype(np.int32),
        named=np.concatenate([one.kernels.named for one in lenders]),
        shaped=np.concatenate([one.kernels.shaped for one in lenders]),
        measured=np.concatenate([one.kernels.measured for one in lenders]),
    )
    return _Lender(
        kernels,
        np.concatenate([one.duration_ns for one in lenders]),
        np.concatenate([one.call for one in lenders]),
        np.concatenate([one.place for one in lenders]),
        np.concatenate([one.size for one in lenders]),
    )


def _items(lender: _Lender) -> Ids:
    """A number for each distinct (call, place, size) that can be lent; -1 where there is none."""
    table = np.stack((lender.call, lender.place, lender.size))
    _, item = np.unique(table, axis=1, return_inverse=True)
    return np.where(lender.call >= 0, item.reshape(-1), -1).astype(np.int32)


def _by_sequence(wanted: Sequences, graph: Bools, lender: _Lender, item: Ids) -> Ids:
    """Of each wanted kernel the one item that every equal run of kernels has in its place; else -1.

    Where a replay records no grid (ROCm) the names of the whole graph must agree.
    """
    length = wanted.lengths()
    measured = ~np.isin(wanted.segment, wanted.segment[~wanted.measured])
    run = np.where(measured, np.minimum(length, _RUN), length)
    usable = (run >= _SHORTEST) & (graph | (measured & (run == _RUN)))
    found = np.full(len(wanted), -1, np.int32)
    for by_shape in (True, False):
        ask = wanted.shaped if by_shape else wanted.named
        offer = lender.kernels.shaped if by_shape else lender.kernels.named
        chosen = usable & (measured == by_shape)
        for size in np.unique(run[chosen]).tolist():
            mine = np.flatnonzero(chosen & (run == size))
            found[mine] = _agreed(ask[mine], wanted.segment[mine], offer, lender.kernels.segment, item, size)
    return found


def _agreed(ask: Signs, segment: Ids, offer: Signs, offered_segment: Ids, item: Ids, size: int) -> Ids:
    """Item of each entry of `ask`, by runs of `size`: all equal runs offered must have it in that place."""
    first, key = windows(offer, offered_segment, size)
    wanted_first, wanted_key = windows(ask, segment, size)
    low = np.full(len(ask), np.iinfo(np.int32).max, np.int32)
    high = np.full(len(ask), -1, np.int32)
    if len(first) and len(wanted_first):
        order = np.argsort(key, kind="stable")
        keys, opens = np.unique(key[order], return_index=True)
        slot = np.minimum(np.searchsorted(keys, wanted_key), len(keys) - 1)
        hit = keys[slot] == wanted_key
        at, slot = wanted_first[hit], slot[hit]
        for place in range(size):
            offered = item[first[order] + place]
            least, most = np.minimum.reduceat(offered, opens), np.maximum.reduceat(offered, opens)
            one = (least == most)[slot] & (least[slot] >= 0)
            np.minimum.at(low, at[one] + place, least[slot][one])
            np.maximum.at(high, at[one] + place, most[slot][one])
    return np.where(low == high, high, -1).astype(np.int32)


def _by_itself(wanted: Sequences, lender: _Lender, item: Ids) -> Ids:
    """Of each wanted kernel the one item that all identical kernels have; else -1."""
    offered = np.flatnonzero(lender.kernels.measured)
    found = np.full(len(wanted), -1, np.int32)
    if not len(offered):
        return found
    order = offered[np.argsort(lender.kernels.shaped[offered], kind="stable")]
    keys, opens = np.unique(lender.kernels.shaped[order], return_index=True)
    least, most = np.minimum.reduceat(item[order], opens), np.maximum.reduceat(item[order], opens)
    slot = np.minimum(np.searchsorted(keys, wanted.shaped), len(keys) - 1)
    hit = (keys[slot] == wanted.shaped) & wanted.measured & (least == most)[slot]
    return np.where(hit, least[slot], -1).astype(np.int32)


def _took_as_long(trace: Trace, wanted: Sequences, found: Ids, lender: _Lender, item: Ids) -> Bools:
    """Whether each kernel ran about as long as the lenders' median: the same work takes the same time."""
    timed = (item >= 0) & (lender.duration_ns > 0)
    order = np.flatnonzero(timed)[np.lexsort((lender.duration_ns[timed], item[timed]))]
    count = np.bincount(item[order], minlength=int(item.max(initial=0)) + 1)
    begins = np.cumsum(count) - count
    middle = np.append(lender.duration_ns[order], 0)[np.minimum(begins + count // 2, len(order))]
    usual = np.where(count > 0, middle, 0)[found]
    took = trace.kernels.duration_ns[wanted.record]
    alike = (took <= _TIMES * usual + _SLACK_NS) & (usual <= _TIMES * took + _SLACK_NS)
    fits: Bools = (usual == 0) | alike
    return fits


def _lent(
    ownership: Ownership, wanted: Sequences, found: Ids, lender: _Lender, item: Ids, calls: _Calls
) -> Ownership:
    """Loans for whole invocations: kernels 0 to m - 1 of one call, one behind the other."""
    sample = np.zeros(int(item.max(initial=-1)) + 2, np.int64)  # -1 reads the spare last entry
    sample[item] = np.arange(len(item))
    call, place, size = (column[sample[found]] for column in (lender.call, lender.place, lender.size))
    here = np.arange(len(found))
    first = np.maximum.accumulate(np.where((found >= 0) & (place == 0), here, -1))
    whole = (found >= 0) & (first >= 0) & (place == here - first)
    for column in (call, size, wanted.segment):
        whole &= column == column[first]
    members = np.bincount(first[whole], minlength=len(found) + 1)
    whole &= members[first] == size
    loan, run = ownership.loan.copy(), ownership.loan_run.copy()
    loan[wanted.record[whole]] = call[whole]
    run[wanted.record[whole]] = wanted.record[first[whole]]
    lent = [*calls.own, *calls.added] if calls.added else calls.own
    return replace(ownership, loan=loan, loan_run=run, calls=lent, shaped=ownership.shaped | (loan >= 0))
