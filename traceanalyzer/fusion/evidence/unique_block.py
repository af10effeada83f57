"""Producer-consumer edges at any distance, proved by the memory blocks in use (tier T2).

An operator is given a tensor, whole and without gaps. Of all the blocks that can hold it and are in use at
that moment there is one, and an operator of the step has filled it. Blocks from before the recording are not
known, so that is a proof only where nobody else can have read this block, which was made to be read: it is
freed while this operator runs; or it is freed later in the step, and no other operator is given anything of
its size until then, those apart that are known to read another block.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from traceanalyzer.fusion.evidence.execution_trace import UNREAD
from traceanalyzer.fusion.evidence.free_events import ROUNDING, Lifetimes, allocators, tensor_bytes
from traceanalyzer.fusion.step_ops import StepOps
from traceanalyzer.records import Dims, OpCall
from traceanalyzer.records.priced import Priced, PricedCall
from traceanalyzer.records.trace import PHASES, Ints

_MIN_BYTES = 1024  # bytes: of a few numbers there are always several
_LARGE = 1 << 20  # from here on CUDA's allocator hands out blocks up to so much larger than asked for:
_SLACK = _LARGE + ROUNDING  # kSmallSize and should_split, c10/cuda/CUDACachingAllocator.cpp
_MAX_READERS = 16  # readers of one size that are looked at: where there are more, nothing is proved
_UNKNOWN = -1
_OPTIMIZER = PHASES.index("optimizer")


class _Seen(msgspec.Struct, frozen=True):
    """The operator at `place` is given something of `size`, and one block alone can hold that."""

    place: int
    size: int
    block: int
    writer: int


def only_one(
    priced: Priced,
    working: StepOps,
    lifetimes: Lifetimes,
    neighbors: Collection[tuple[int, int]],
    begin_ns: int,
) -> list[tuple[int, int]]:
    """(producer, consumer) among the step's `working` operators, as places there, of a step that begins then.

    `neighbors`: what free_events.py has proved.
    """
    trace = priced.trace
    if not len(working.op):
        return []
    blocks = _Blocks(lifetimes, begin_ns)
    blocks.fill(trace.ops.start_ns[allocators(trace, working)], trace.ops.end_ns[working.op])
    # Behind its last operator everything ends that the step has made, read or not.
    starts = [*trace.ops.start_ns[working.op].tolist(), int(trace.ops.end_ns[working.op[-1]])]
    priced_calls = [priced.prices[row] for row in trace.ops.call[working.op].tolist()]
    calls = [each.call for each in priced_calls]
    seen: list[_Seen] = []
    for place, call in enumerate(calls):
        blocks.until(starts[place])
        if trace.ops.phase[working.op[place]] != _OPTIMIZER and _of_activations(priced_calls[place]):
            for size in _whole(call):
                block = blocks.only(size, place)
                if block != _UNKNOWN:
                    seen.append(_Seen(place, size, block, blocks.writer[block]))
        blocks.change(call, place)
    readers = _Readers(calls, starts)
    others = {
        (second, size): first for first, second in neighbors for size in _whole(calls[second])
        if blocks.leaves(first, size, starts[second], starts[second + 1])
    }  # fmt: skip
    return sorted(_proved(seen, blocks, readers, starts, others))


def _proved(
    seen: Sequence[_Seen], blocks: _Blocks, readers: _Readers, starts: Sequence[int],
    neighbors: Mapping[tuple[int, int], int],
) -> set[tuple[int, int]]:  # fmt: skip
    """Those of which nobody else can have read the block; who is known to read another one is nobody else.

    `neighbors`: writers of what an operator is given, by its place and the size.
    """
    freed = [read for read in seen if blocks.life(read.block)[1] < starts[read.place + 1]]
    writers = {**neighbors, **{(read.place, read.size): read.writer for read in freed}}
    while True:
        more = [read for read in seen if (read.place, read.size) not in writers
                and _alone(read, blocks, readers, starts, writers)]  # fmt: skip
        if not more:
            return {(writer, place) for (place, _), writer in writers.items()}
        writers |= {(read.place, read.size): read.writer for read in more}


def _alone(
    read: _Seen, blocks: _Blocks, readers: _Readers, starts: Sequence[int],
    writers: Mapping[tuple[int, int], int],
) -> bool:  # fmt: skip
    allocated, freed = blocks.life(read.block)
    if freed >= starts[-1]:
        return False
    others = readers.between(read.size, allocated, freed) - {read.writer, read.place}
    return len(others) < _MAX_READERS - 2 and all(
        readers.once(place, read.size) and writers.get((place, read.size), read.writer) != read.writer
        for place in others
    )  # fmt: skip


class _Blocks:
    """The blocks in use as time goes on, and who filled each."""

    def __init__(self, lifetimes: Lifetimes, begin_ns: int) -> None:
        allocated, freed = lifetimes.allocated_ns, lifetimes.freed_ns
        self._made, self._freed, self._size = allocated.tolist(), freed.tolist(), lifetimes.bytes.tolist()
        self.writer = [_UNKNOWN] * len(allocated)
        self._made_by: dict[int, range] = {}
        self._of_size: dict[int, set[int]] = {}
        self._doubted: dict[int, int] = {}  # by key: the last operator that may have changed any of these
        self._doubted_all = _UNKNOWN
        self._next = int(np.searchsorted(allocated, begin_ns))
        leaving = np.argsort(freed, kind="stable")
        self._leaving = leaving[np.searchsorted(freed[leaving], begin_ns) :].tolist()
        self._gone = 0
        for block in np.flatnonzero(freed[: self._next] >= begin_ns).tolist():
            self._in_use(block)

    def fill(self, start: Ints, end: Ints) -> None:
        """What is made between the start and the end of an operator, it fills."""
        allocated = np.asarray(self._made)
        edges = zip(np.searchsorted(allocated, start), np.searchsorted(allocated, end), strict=True)
        for place, (low, high) in enumerate(edges):
            self.writer[low:high] = [place] * (high - low)
            self._made_by[place] = range(low, high)

    def leaves(self, place: int, least: int, begin_ns: int, end_ns: int) -> bool:
        """Whether something of that size that the operator at `place` makes is freed in that time."""
        return any(
            least <= self._size[block] < least + ROUNDING and begin_ns <= self._freed[block] < end_ns
            for block in self._made_by.get(place, ())
        )

    def until(self, time_ns: int) -> None:
        """What is made and freed before `time_ns`."""
        while self._next < len(self._made) and self._made[self._next] < time_ns:
            self._in_use(self._next)
            self._next += 1
        while self._gone < len(self._leaving) and self._freed[self._leaving[self._gone]] < time_ns:
            block = self._leaving[self._gone]
            self._of_size.get(_key(self._size[block]), set()).discard(block)
            self._gone += 1

    def life(self, block: int) -> tuple[int, int]:
        return self._made[block], self._freed[block]

    def _in_use(self, block: int) -> None:
        self._of_size.setdefault(_key(self._size[block]), set()).add(block)

    def _candidates(self, least: int) -> Iterator[int]:
        """Blocks in use that can hold a tensor of so many bytes, one after another."""
        most = least + (_SLACK if least + ROUNDING > _LARGE else ROUNDING)
        near = (least, least + ROUNDING, min(least + _LARGE, most), most)
        for key in dict.fromkeys(map(_key, near)):
            for block in self._of_size.get(key, ()):
                if least <= self._size[block] < most:
                    yield block

    def only(self, least: int, place: int) -> int:
        """The one block that can hold it, those apart that the operator at `place` makes itself; _UNKNOWN of
        several, or where it is not known who filled it last."""
        single = _UNKNOWN
        for block in self._candidates(least):
            if self.writer[block] == place:
                continue
            if single != _UNKNOWN:
                return _UNKNOWN
            single = block
        if single == _UNKNOWN or not 0 <= self.writer[single] < place:
            return _UNKNOWN
        doubted = max(self._doubted_all, self._doubted.get(_key(self._size[single]), _UNKNOWN))
        return single if self.writer[single] >= doubted else _UNKNOWN

    def change(self, call: OpCall, place: int) -> None:
        """The operator at `place` writes to what it is given first: to one block that is known, or to any."""
        if not call.name.endswith("_") or not call.shapes:
            return
        least = tensor_bytes(call.dims(0), call.dtype(0))
        if least is None or not _dense(call.dims(0), call.strides(0)):
            self._doubted_all = place  # a list, or a part of something larger
            return
        blocks = list(self._first_two(least))
        if any(self.writer[block] == place for block in blocks):
            return  # the copy of a clone, into what it has made for it
        if len(blocks) == 1:
            self.writer[blocks[0]] = place
        for block in blocks[1:]:
            self._doubted[_key(self._size[block])] = place
            self._doubted[_key(self._size[blocks[0]])] = place

    def _first_two(self, least: int) -> Iterator[int]:
        for count, block in enumerate(self._candidates(least)):
            if count == 2:
                return
            yield block


def _key(size: int) -> int:
    """Blocks of about one size have one key."""
    return size // ROUNDING if size < _LARGE else _LARGE + size // _LARGE


class _Readers:
    """Which operators are given something of a size, whole or not, at what time."""

    def __init__(self, calls: list[OpCall], starts: list[int]) -> None:
        self._starts = starts
        self._count: dict[tuple[int, int], int] = {}
        self._of_size: dict[int, list[int]] = {}
        self._lists: list[int] = []  # that are given lists, of whatever sizes
        for place, call in enumerate(calls):
            for _, dims, dtype, _ in call.tensors():
                size = tensor_bytes(dims, dtype)
                if size is not None:
                    self._count[place, size] = self._count.get((place, size), 0) + 1
                    if self._count[place, size] == 1:
                        self._of_size.setdefault(size, []).append(place)
            if any(dims and isinstance(dims[0], tuple) for dims in call.shapes):
                self._lists.append(place)

    def between(self, size: int, begin_ns: int, end_ns: int) -> set[int]:
        """Places of those that begin in that time; of many the first."""
        low, high = bisect_left(self._starts, begin_ns), bisect_right(self._starts, end_ns)
        readers: set[int] = set()
        for places in (self._of_size.get(size, []), self._lists):
            first = bisect_left(places, low)
            readers.update(places[first : min(first + _MAX_READERS, bisect_left(places, high))])
        return readers

    def once(self, place: int, size: int) -> bool:
        """Whether that operator is given one thing of that size."""
        return self._count.get((place, size)) == 1


def _of_activations(priced: PricedCall) -> bool:
    """Whether no weight is among what it takes, or one of another size."""
    return priced.fusible not in ("gather", "scatter", "opaque") or priced.call.name in (
        "aten::bmm",
        "aten::baddbmm",
    )


def _whole(call: OpCall) -> set[int]:
    """Bytes of each tensor that `call` reads from end to end, where it writes to none of that size."""
    unread = UNREAD.get(call.name, ())
    arguments = [*call.tensors()]
    written = {tensor_bytes(dims, dtype) for place, dims, dtype, _ in arguments if place in unread}
    read = {tensor_bytes(dims, dtype) for place, dims, dtype, strides in arguments
            if place not in unread and _dense(dims, strides)}  # fmt: skip
    return {size for size in read - written if size is not None and size >= _MIN_BYTES}


def _dense(dims: Dims, strides: Dims) -> bool:
    """Whether its elements lie side by side, in whatever order of its dims."""
    pairs = [(stride, size) for size, stride in zip(dims, strides, strict=False)
             if isinstance(size, int) and isinstance(stride, int) and size != 1]  # fmt: skip
    expected = 1
    for stride, size in sorted(pairs):
        if stride != expected:
            return False
        expected *= size
    return bool(dims) and len(dims) == len(strides)
