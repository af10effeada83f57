"""Who reads what whom wrote, where only one block of that size is in use (tier T2).

An operator is given a tensor, whole and without gaps; of all the blocks of its size that are in use at that
moment there is one, and an operator of the step has filled it. That was what it read. Who else reads it does
not follow. Blocks from before the recording are not known: weights and gradients, so that operators that take
these prove nothing.
"""

from __future__ import annotations

import numpy as np

from traceanalyzer.columns import PHASES, Ints, Trace
from traceanalyzer.fusion.executed import UNREAD
from traceanalyzer.fusion.freed import ROUNDING, allocators, lifetimes, room
from traceanalyzer.fusion.kinds import kind
from traceanalyzer.fusion.units import Units
from traceanalyzer.model import Dims, OpCall

_LEAST = 1024  # bytes: of a few numbers there are always several
_UNKNOWN = -1
_OPTIMIZER = PHASES.index("optimizer")


def only_one(trace: Trace, units: Units, begin_ns: int) -> list[tuple[int, int]]:
    """(producer, consumer) among the step's `units`, as places there, at any distance."""
    if trace.memory is None or not len(units.op):
        return []
    blocks = _Blocks(*lifetimes(trace.memory), begin_ns)
    blocks.fill(trace.ops.start_ns[allocators(trace, units)], trace.ops.end_ns[units.op])
    found: list[tuple[int, int]] = []
    for place, row in enumerate(units.op.tolist()):
        blocks.until(int(trace.ops.start_ns[row]))
        call = trace.calls[trace.ops.call[row]]
        if trace.ops.phase[row] != _OPTIMIZER and _of_activations(call):
            writers = {blocks.writer_of(size, place) for size in _whole(call)}
            found += [(writer, place) for writer in writers if writer != _UNKNOWN]
        if call.name.endswith("_") and call.name not in UNREAD:
            for size in _sizes(call, 0):
                blocks.rewrite(size, place)
    return found


class _Blocks:
    """The blocks in use as time goes on, and who filled each."""

    def __init__(self, made: Ints, freed: Ints, size: Ints, begin_ns: int) -> None:
        self._made, self._freed, self._size = made.tolist(), freed.tolist(), size.tolist()
        self._writer = [_UNKNOWN] * len(made)
        self._of_size: dict[int, set[int]] = {}
        self._next = int(np.searchsorted(made, begin_ns))
        leaving = np.argsort(freed, kind="stable")
        self._leaving = leaving[np.searchsorted(freed[leaving], begin_ns) :].tolist()
        self._gone = 0
        for block in np.flatnonzero(freed[: self._next] >= begin_ns).tolist():
            self._in_use(block)

    def fill(self, start: Ints, end: Ints) -> None:
        """What is made between the start and the end of a unit, the unit fills."""
        made = np.asarray(self._made)
        edges = zip(np.searchsorted(made, start), np.searchsorted(made, end), strict=True)
        for place, (low, high) in enumerate(edges):
            self._writer[low:high] = [place] * (high - low)

    def until(self, time_ns: int) -> None:
        """What is made and freed before `time_ns`."""
        while self._next < len(self._made) and self._made[self._next] < time_ns:
            self._in_use(self._next)
            self._next += 1
        while self._gone < len(self._leaving) and self._freed[self._leaving[self._gone]] < time_ns:
            block = self._leaving[self._gone]
            self._of_size.get(self._size[block] // ROUNDING, set()).discard(block)
            self._gone += 1

    def _in_use(self, block: int) -> None:
        self._of_size.setdefault(self._size[block] // ROUNDING, set()).add(block)

    def _candidates(self, least: int) -> list[int]:
        near = (self._of_size.get(least // ROUNDING + more, set()) for more in (0, 1))
        return [block for one in near for block in one if least <= self._size[block] < least + ROUNDING]

    def writer_of(self, least: int, place: int) -> int:
        """Who filled the only block of that size but those of unit `place` itself; _UNKNOWN of several."""
        found = [block for block in self._candidates(least) if self._writer[block] != place]
        writer = self._writer[found[0]] if len(found) == 1 else _UNKNOWN
        return writer if writer < place else _UNKNOWN

    def rewrite(self, least: int, place: int) -> None:
        """Unit `place` changes a block of that size: which one is known where there is one."""
        found = self._candidates(least)
        for block in found:
            self._writer[block] = place if len(found) == 1 else _UNKNOWN


def _of_activations(call: OpCall) -> bool:
    """Whether no weight is among what it takes, or one of another size."""
    return kind(call) != "opaque" or call.name in ("aten::bmm", "aten::baddbmm")


def _whole(call: OpCall) -> set[int]:
    """Bytes of each tensor that `call` reads from its first element to its last."""
    unread = UNREAD.get(call.name, ())
    return {
        size for place in range(len(call.shapes)) if place not in unread and place < len(call.strides)
        and _dense(call.shapes[place], call.strides[place]) for size in _sizes(call, place)
    }  # fmt: skip


def _sizes(call: OpCall, place: int) -> list[int]:
    least = room(call.shapes[place], call.dtypes[place]) if place < len(call.shapes) else None
    return [least] if least is not None and least >= _LEAST else []


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
