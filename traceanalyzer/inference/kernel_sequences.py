"""Kernels in the order of their streams, and the runs of equal ones: what `borrow` compares."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records.trace import Bools, Ids, Ints, RecordKind, Trace

Signs = npt.NDArray[np.uint64]
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: a unit modulo 2**64


class Sequences(msgspec.Struct, frozen=True, eq=False):
    """Some kernels of a trace by (stream, start); one entry a kernel."""

    record: Ids  # row in Trace.kernels
    segment: Ids  # kernels of one number follow one another with none of another kind between
    named: Signs  # equal for equal names
    shaped: Signs  # equal for equal name, grid and block
    measured: Bools  # grid and block are recorded

    def __len__(self) -> int:
        return len(self.record)

    def lengths(self) -> Ints:
        """Kernels in the segment of each entry."""
        _, back, count = np.unique(self.segment, return_inverse=True, return_counts=True)
        return count[back]


def sequences(trace: Trace, group: Ints, vocabulary: dict[str, int]) -> Sequences:
    """The kernels with a `group` of 0 or more; a segment is a stretch of one stream and one group.

    `group`: one entry a record. `vocabulary` numbers the names; sequences of several traces that were
    made with one vocabulary can be compared.
    """
    kernels = trace.kernels
    record = np.flatnonzero(kernels.kind == RecordKind.KERNEL)
    record = record[np.lexsort((record, kernels.start_ns[record], kernels.stream[record]))]
    stream, mine = kernels.stream[record], group[record]
    change = np.ones(len(record), bool)
    change[1:] = (stream[1:] != stream[:-1]) | (mine[1:] != mine[:-1])
    segment: Ids = np.cumsum(change).astype(np.int32)
    kept = mine >= 0
    record, segment = record[kept], segment[kept]
    used, back = np.unique(kernels.name[record], return_inverse=True)
    number = np.array([vocabulary.setdefault(trace.names[row], len(vocabulary)) for row in used.tolist()],
                      np.uint64)  # fmt: skip
    named = _mixed(number[back] if len(used) else np.zeros(0, np.uint64))
    geometry = kernels.geometry[record]
    shaped = _mixed(named + geometry.astype(np.uint64))
    return Sequences(record.astype(np.int32), segment, named, shaped, geometry >= 0)


def windows(sign: Signs, segment: Ids, length: int) -> tuple[Ids, Signs]:
    """Where each run of `length` entries of one segment begins, and a number equal for equal runs."""
    count = len(sign) - length + 1
    if count <= 0:
        return np.zeros(0, np.int32), np.zeros(0, np.uint64)
    total = np.zeros(count, np.uint64)
    for step in range(length):
        total = total * _BASE + sign[step : step + count]
    first = np.flatnonzero(segment[:count] == segment[length - 1 :]).astype(np.int32)
    return first, _mixed(total[first])


def _mixed(value: Signs) -> Signs:
    """Each number spread over all 64 bits (splitmix64), so that sums of them are unlikely to be equal."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Signs = value ^ (value >> np.uint64(31))
    return mixed
