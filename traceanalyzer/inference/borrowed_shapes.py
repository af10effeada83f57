"""Shapes for kernels without a recorded launch: those of an identical kernel whose launch was recorded.

A kernel launched before the recording began borrows where every identical kernel (name, grid, block)
belongs to one and the same call. A kernel replayed from a graph borrows where the same sequence of
kernels was seen eagerly, or at capture. Nothing is borrowed where calls differ, where a part of an
invocation is missing, or where the kernel took another time than its offers.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.inference.kernel_sequences import Sequences, Signs, sequences, windows
from traceanalyzer.records import Notice, OpCall
from traceanalyzer.records.trace import UNLINKED, Bools, Ids, Ints, RecordKind, Trace
from traceanalyzer.records.units import percent

_GRAPH = UNLINKED.index("cuda_graph")
_BEFORE = (UNLINKED.index("no_launch"), UNLINKED.index("no_correlation"))
_RUN = 8  # kernels in a row that must agree, or the whole graph where it has fewer
_SHORTEST = 3  # a graph of fewer kernels is no evidence
_TIMES = 2  # how far a kernel's time may be from its offers' median, either way,
_SLACK_NS = 2000  # and by how much besides, for kernels of a few ticks of the clock


class Donor(msgspec.Struct, frozen=True, eq=False):
    """A trace, and of each of its records the op whose work it is: row in Trace.ops, -1 where unknown."""

    trace: Trace
    op: Ids


class Borrowed(msgspec.Struct, frozen=True, eq=False):
    """Of each record the call that it borrows; `calls` are the trace's and, behind them, the donors'."""

    calls: Sequence[OpCall]
    call: Ids  # row in `calls`; -1
    run: Ids  # equal for the records of one borrowed invocation; -1
    notices: tuple[Notice, ...] = ()


class _Offers(msgspec.Struct, frozen=True, eq=False):
    """Kernels whose call is known, with what each offers: the k-th kernel of a call's invocation."""

    kernels: Sequences
    duration_ns: Ints  # 0: the launch was recorded, the kernel was not
    call: Ids  # row in the calls that can be borrowed; -1: nothing to borrow from this kernel
    place: Ids  # k, from 0
    size: Ids  # kernels of the invocation


def borrow(mine: Donor, others: Sequence[Donor] = (), capture: str | None = None) -> Borrowed:
    """A call and an invocation for every unlinked kernel of `mine` that can borrow one.

    `others`: further traces to borrow from; `capture`: the file that the user named for it.
    O(kernels log kernels) in numpy.
    """
    borrowed = _borrowed(mine, others)
    return Borrowed(borrowed.calls, borrowed.call, borrowed.run, _notices(mine.trace, borrowed.call, capture))


def _borrowed(mine: Donor, others: Sequence[Donor]) -> Borrowed:
    trace = mine.trace
    code = trace.kernels.unlinked
    early, graph = np.isin(code, _BEFORE), code == _GRAPH
    none = np.broadcast_to(np.int32(-1), len(code))  # one number, whatever the length
    nothing = Borrowed(trace.calls, none, none)
    if not (early | graph).any():
        return nothing
    vocabulary: dict[str, int] = {}
    calls = _Calls(trace.calls)
    offers = _joined([_offers(donor, vocabulary, calls) for donor in (mine, *others)])
    item = _items(offers)
    if not (item >= 0).any():
        return nothing
    group = np.where(graph, trace.kernels.launch.astype(np.int64) + 1, np.where(early, 0, -1))
    wanted = sequences(trace, group, vocabulary)
    item_of = _by_sequence(wanted, graph[wanted.record], offers, item)
    alone = _by_itself(wanted, offers, item)
    item_of = np.where((item_of < 0) & early[wanted.record], alone, item_of)
    item_of[~_took_as_long(trace, wanted, item_of, offers, item)] = -1
    return _whole_calls(nothing, wanted, item_of, offers, item, calls)


def _notices(trace: Trace, call: Ids, capture: str | None) -> tuple[Notice, ...]:
    """What a reader must know; `capture`: the second trace that was asked, if one was."""
    kernels, borrows = trace.kernels, call >= 0
    notices = []
    if borrows.any():
        share = int(kernels.duration_ns[borrows].sum()) / max(int(kernels.duration_ns.sum()), 1)
        text = (
            f"{percent(share)} of GPU time: kernels without a recorded launch are priced with the shapes "
            "of identical kernels whose launch was recorded"
        )
        notices.append(Notice("borrowed_shapes", text, int(borrows.sum())))
    if capture and not borrows[kernels.unlinked == _GRAPH].any():
        text = f"{capture} provides no shapes: it holds no sequence of kernels that a graph replayed"
        notices.append(Notice("capture_without_match", text))
    return tuple(notices)


class _Calls:
    """The calls of the trace itself, and behind them those of other traces that it does not have."""

    def __init__(self, own: Sequence[OpCall]) -> None:
        self.own = own
        self.added: list[OpCall] = []
        self._rows: dict[OpCall, int] = {}

    def row(self, call: OpCall) -> int:
        """Row of an equal call; the first of equals."""
        if not self._rows:
            for index, call_of_trace in enumerate(self.own):
                self._rows.setdefault(call_of_trace, index)
        index = self._rows.setdefault(call, len(self.own) + len(self.added))
        if index == len(self.own) + len(self.added):
            self.added.append(call)
        return index


def _offers(donor: Donor, vocabulary: dict[str, int], calls: _Calls) -> _Offers:
    """The linked kernels of one trace; one without a priced call offers nothing but still contradicts."""
    trace, kernels = donor.trace, donor.trace.kernels
    linked = sequences(trace, np.where(kernels.unlinked < 0, 0, -1), vocabulary)
    place, size = _places(trace, donor.op)
    call = np.append(trace.ops.call, np.int32(-1))[donor.op]
    if trace.calls is not calls.own:
        rows = np.full(len(trace.calls) + 1, -1, np.int32)
        for row in np.unique(call[call >= 0]).tolist():
            rows[row] = calls.row(trace.calls[row])
        call = rows[call]
    mine = linked.record
    call = np.where(size[mine] > 0, call[mine], -1).astype(np.int32)
    return _Offers(linked, kernels.duration_ns[mine], call, place[mine], size[mine])


def _places(trace: Trace, op: Ids) -> tuple[Ids, Ids]:
    """(k, kernels of the invocation) of each record; 0 kernels where it has no op or several streams."""
    kernels = trace.kernels
    place, size = np.zeros(len(kernels), np.int32), np.zeros(len(kernels), np.int32)
    mine = np.flatnonzero((op >= 0) & (kernels.kind == RecordKind.KERNEL))
    mine = mine[np.lexsort((mine, kernels.start_ns[mine], op[mine]))]
    if not len(mine):
        return place, size
    opens = np.flatnonzero(np.append(True, op[mine][1:] != op[mine][:-1]))
    count = np.diff(opens, append=len(mine))
    stream = kernels.stream[mine]
    alone = np.maximum.reduceat(stream, opens) == np.minimum.reduceat(stream, opens)
    place[mine] = np.arange(len(mine)) - np.repeat(opens, count)
    size[mine] = np.repeat(np.where(alone, count, 0), count)
    return place, size


def _joined(offers: Sequence[_Offers]) -> _Offers:
    """One behind the other, their segments apart."""
    offset = np.cumsum([0, *(int(offer.kernels.segment.max(initial=0)) + 1 for offer in offers)])
    segments = [offer.kernels.segment + shift for offer, shift in zip(offers, offset, strict=False)]
    kernels = Sequences(
        record=np.concatenate([offer.kernels.record for offer in offers]),
        segment=np.concatenate(segments).astype(np.int32),
        named=np.concatenate([offer.kernels.named for offer in offers]),
        shaped=np.concatenate([offer.kernels.shaped for offer in offers]),
        measured=np.concatenate([offer.kernels.measured for offer in offers]),
    )
    return _Offers(
        kernels,
        np.concatenate([offer.duration_ns for offer in offers]),
        np.concatenate([offer.call for offer in offers]),
        np.concatenate([offer.place for offer in offers]),
        np.concatenate([offer.size for offer in offers]),
    )


def _items(offers: _Offers) -> Ids:
    """A number for each distinct (call, place, size) that can be borrowed; -1 where there is none."""
    table = np.stack((offers.call, offers.place, offers.size))
    _, item = np.unique(table, axis=1, return_inverse=True)
    return np.where(offers.call >= 0, item.reshape(-1), -1).astype(np.int32)


def _by_sequence(wanted: Sequences, graph: Bools, offers: _Offers, item: Ids) -> Ids:
    """Of each wanted kernel the one item that every equal run of kernels has in its place; else -1.

    Where a replay records no grid (ROCm) the names of the whole graph must agree.
    """
    length = wanted.lengths()
    measured = ~np.isin(wanted.segment, wanted.segment[~wanted.measured])
    run = np.where(measured, np.minimum(length, _RUN), length)
    usable = (run >= _SHORTEST) & (graph | (measured & (run == _RUN)))
    item_of = np.full(len(wanted), -1, np.int32)
    for by_shape in (True, False):
        ask = wanted.shaped if by_shape else wanted.named
        offer = offers.kernels.shaped if by_shape else offers.kernels.named
        chosen = usable & (measured == by_shape)
        for size in np.unique(run[chosen]).tolist():
            mine = np.flatnonzero(chosen & (run == size))
            item_of[mine] = _agreed(
                ask[mine], wanted.segment[mine], offer, offers.kernels.segment, item, size
            )
    return item_of


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
        for step in range(size):
            offered = item[first[order] + step]
            least, most = np.minimum.reduceat(offered, opens), np.maximum.reduceat(offered, opens)
            agreed = (least == most)[slot] & (least[slot] >= 0)
            np.minimum.at(low, at[agreed] + step, least[slot][agreed])
            np.maximum.at(high, at[agreed] + step, most[slot][agreed])
    return np.where(low == high, high, -1).astype(np.int32)


def _by_itself(wanted: Sequences, offers: _Offers, item: Ids) -> Ids:
    """Of each wanted kernel the one item that all identical kernels have; else -1."""
    offered = np.flatnonzero(offers.kernels.measured)
    unknown = np.full(len(wanted), -1, np.int32)
    if not len(offered):
        return unknown
    order = offered[np.argsort(offers.kernels.shaped[offered], kind="stable")]
    keys, opens = np.unique(offers.kernels.shaped[order], return_index=True)
    least, most = np.minimum.reduceat(item[order], opens), np.maximum.reduceat(item[order], opens)
    slot = np.minimum(np.searchsorted(keys, wanted.shaped), len(keys) - 1)
    hit = (keys[slot] == wanted.shaped) & wanted.measured & (least == most)[slot]
    return np.where(hit, least[slot], -1).astype(np.int32)


def _took_as_long(trace: Trace, wanted: Sequences, item_of: Ids, offers: _Offers, item: Ids) -> Bools:
    """Whether each kernel ran about as long as the offers' median: the same work takes the same time."""
    timed = (item >= 0) & (offers.duration_ns > 0)
    order = np.flatnonzero(timed)[np.lexsort((offers.duration_ns[timed], item[timed]))]
    count = np.bincount(item[order], minlength=int(item.max(initial=0)) + 1)
    begins = np.cumsum(count) - count
    middle = np.append(offers.duration_ns[order], 0)[np.minimum(begins + count // 2, len(order))]
    usual = np.where(count > 0, middle, 0)[item_of]
    took = trace.kernels.duration_ns[wanted.record]
    alike = (took <= _TIMES * usual + _SLACK_NS) & (usual <= _TIMES * took + _SLACK_NS)
    fits: Bools = (usual == 0) | alike
    return fits


def _whole_calls(
    nothing: Borrowed, wanted: Sequences, item_of: Ids, offers: _Offers, item: Ids, calls: _Calls
) -> Borrowed:
    """Only whole invocations are borrowed: kernels 0 to m - 1 of one call, one behind the other."""
    sample = np.zeros(int(item.max(initial=-1)) + 2, np.int64)  # -1 reads the spare last entry
    sample[item] = np.arange(len(item))
    call, place, size = (column[sample[item_of]] for column in (offers.call, offers.place, offers.size))
    here = np.arange(len(item_of))
    first = np.maximum.accumulate(np.where((item_of >= 0) & (place == 0), here, -1))
    whole = (item_of >= 0) & (first >= 0) & (place == here - first)
    for column in (call, size, wanted.segment):
        whole &= column == column[first]
    members = np.bincount(first[whole], minlength=len(item_of) + 1)
    whole &= members[first] == size
    borrowed, run = nothing.call.copy(), nothing.run.copy()
    borrowed[wanted.record[whole]] = call[whole]
    run[wanted.record[whole]] = wanted.record[first[whole]]
    return Borrowed([*calls.own, *calls.added] if calls.added else calls.own, borrowed, run)
