"""Producer-consumer edges proved by one executed step (tier T1): storages, in the order of time.

The collector stores the operators of one step with the storage of every tensor (collect/evidence.py). A
storage's number is used again after a free, so only the last writer before a read is its source; and
only operators that do work count as writers and readers, since those round them name the same tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

VERSION = 2
Range = tuple[int, int, int]  # storage, begin, end in bytes
# Argument or output, storage, offset and count in elements, bytes of one.
Use = tuple[int, int, int, int, int]

# Arguments that are written without being read, whatever the schema says of them.
UNREAD = {
    f"aten::{name}": (0,) for name in (
        "copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_",
        "_foreach_zero_", "_foreach_copy_",
    )
}  # fmt: skip


class Executed(msgspec.Struct, frozen=True):
    """Columns of one step's operators, by their start."""

    names: list[str]
    name: list[int]
    thread: list[int]
    parent: list[int]  # -1: none
    ended: list[int]  # how many had started when it ended
    dims: list[Any]
    inputs: list[list[Use]]
    outputs: list[list[Use]]
    mutated: list[list[int]]  # arguments that the operator writes to
    version: int


class Flow(msgspec.Struct, frozen=True):
    """One operator reads what another wrote; rows of the executed step."""

    producer: int  # below 0: nobody wrote it before; equal for one tensor
    consumer: int
    argument: int  # of the consumer
    bytes: int  # read
    tensor: Range  # of the whole argument


class _Version(msgspec.Struct):
    version: int = 1


def executed(text: str) -> Executed | None:
    """The columns in `text`; None where another version wrote it. ValueError where they are damaged."""
    if msgspec.json.decode(text, type=_Version).version != VERSION:
        return None
    step = msgspec.json.decode(text, type=Executed)
    columns = (step.thread, step.parent, step.ended, step.inputs, step.outputs, step.mutated)
    count = len(step.name)
    if any(len(column) != count for column in columns):
        raise ValueError("its columns differ in length")
    if step.name and not 0 <= min(step.name) <= max(step.name) < len(step.names):
        raise ValueError("it names operators that it does not list")
    if not all(-1 <= parent < count for parent in step.parent):
        raise ValueError("it has operators inside of others that it does not list")
    if not all(row < end <= count for row, end in enumerate(step.ended)):
        raise ValueError("it has operators that end before they start, or after the last")
    return step


def flows(step: Executed, works: Sequence[bool]) -> list[Flow]:
    """Every read by an operator that works: of what another one wrote last, or of what was there before."""
    memory = _Memory()
    all_flows: list[Flow] = []
    for row, starts in _in_time(step):
        if not works[row]:
            continue
        if starts:
            all_flows += _reads(step, row, memory)
        else:
            for storage, begin, end in _writes(step, row):
                memory.write(storage, begin, end, row)
    return all_flows


def _in_time(step: Executed) -> Iterator[tuple[int, bool]]:
    """(row, True) where an operator starts, (row, False) where it ends; of several the inner first."""
    ending: dict[int, list[int]] = {}
    for row, at in enumerate(step.ended):
        ending.setdefault(at, []).append(row)
    for row in range(len(step.name) + 1):
        yield from ((other, False) for other in reversed(ending.get(row, ())))
        if row < len(step.name):
            yield row, True


def _reads(step: Executed, row: int, memory: _Memory) -> Iterator[Flow]:
    unread = UNREAD.get(step.names[step.name[row]], ())
    for argument, storage, offset, count, size in step.inputs[row]:
        if argument not in unread:
            tensor = storage, offset * size, (offset + count) * size
            for writer, amount in memory.read(*tensor):
                if writer != row:
                    yield Flow(writer, row, argument, amount, tensor)


def _writes(step: Executed, row: int) -> Iterator[tuple[int, int, int]]:
    """Storage and bytes of what it changes and of what it makes; not of a view that it returns."""
    given = {storage for _, storage, *_ in step.inputs[row]}
    changed = set(step.mutated[row])
    for argument, storage, offset, count, size in step.inputs[row]:
        if argument in changed:
            yield storage, offset * size, (offset + count) * size
    for _, storage, offset, count, size in step.outputs[row]:
        if storage not in given:
            yield storage, offset * size, (offset + count) * size


class _Memory:
    """The last writer of every byte that is known to have one."""

    def __init__(self) -> None:
        self._written: dict[int, list[tuple[int, int, int]]] = {}  # storage -> (begin, end, writer), disjoint
        self._before: dict[tuple[int, int, int], int] = {}  # storage, begin, end -> number of a tensor

    def write(self, storage: int, begin: int, end: int, writer: int) -> None:
        kept = []
        for first, last, by in self._written.get(storage, ()):
            kept += [(a, b, by) for a, b in ((first, min(last, begin)), (max(first, end), last)) if a < b]
        self._written[storage] = [*kept, (begin, end, writer)]

    def read(self, storage: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """(writer, bytes) of each part of a range; unwritten parts are distinguished by their range."""
        left = end - begin
        for first, last, by in self._written.get(storage, ()):
            amount = min(last, end) - max(first, begin)
            if amount > 0:
                left -= amount
                yield by, amount
        if left > 0:
            yield -1 - self._before.setdefault((storage, begin, end), len(self._before)), left
