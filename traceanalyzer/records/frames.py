"""Where in the user's code the host was: Python functions and calls of modules, where stacks are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from traceanalyzer.records.trace import Ids, Ints


class Function(msgspec.Struct, frozen=True):
    """A Python function outside PyTorch and the standard library."""

    file: str  # its last parts, as many as tell it from other files of the trace
    line: int | None  # where it is defined
    name: str
    of_a_tool: bool  # of a library for arrays, images, tables, text or files
    library: str | None = None  # "transformers"; None: the user's own, or not known to be a library's


class ClassPath(msgspec.Struct, frozen=True):
    """Modules by the classes of those that call them: `Model.Encoder.Block.Linear`."""

    path: str
    class_name: str
    parent: int  # row in Frames.paths; -1


class Frames(msgspec.Struct, frozen=True, eq=False):
    """Functions of the user and calls of modules, sorted by (thread, start, -duration).

    Those of a thread nest: one that outlives what it was called by ends with it.
    """

    start_ns: Ints
    end_ns: Ints
    name: Ids  # row in Trace.names; of a module's call it tells the instance
    function: Ids  # row in `functions`, of the innermost function that is open: the row's own, or around it
    function_row: Ids  # row of that function's frame, in this table; -1: none
    outer_function: Ids  # row of the frame of the function around that one; -1
    call: Ids  # row of the innermost call of a module, in this table: the row itself, or around it
    path: Ids  # row in `paths`, of that call; -1
    outer_call: Ids  # row of the call around that one; -1
    functions: Sequence[Function]
    paths: Sequence[ClassPath]
    changed_ns: Ints  # when another frame became the innermost, by (thread, time)
    changed_thread: Ids
    changed_to: Ids  # row in this table; -1: none is open
    of_op: Ids  # of each row of Trace.ops: the innermost open when it began, or its forward operator did

    def __len__(self) -> int:
        return len(self.start_ns)

    def open_at(self, thread: Ids, moment_ns: Ints) -> Ids:
        """Row of the innermost frame that is open on a thread at each moment; -1. O((n + m) log (n + m))."""
        asked, changes = len(thread), len(self.changed_ns)
        if not asked or not changes:
            return np.full(asked, -1, np.int32)
        threads = np.concatenate((self.changed_thread, thread))
        moments = np.concatenate((self.changed_ns, moment_ns))
        order = np.lexsort((moments, threads))  # stable: a change comes before a question of its moment
        last = np.maximum.accumulate(np.where(order < changes, np.arange(len(order)), -1))
        source = np.where(last >= 0, order[last], 0)
        row = np.where(
            (last >= 0) & (self.changed_thread[source] == threads[order]), self.changed_to[source], -1
        )
        innermost = np.empty(len(order), np.int32)
        innermost[order] = row
        return innermost[changes:]

    def functions_at(self, frame: Ids) -> Ids:
        """Row in `functions` of each row of this table; -1 stays."""
        return np.append(self.function, np.int32(-1))[frame]

    def paths_at(self, frame: Ids) -> Ids:
        """Row in `paths` of each row of this table; -1 stays."""
        return np.append(self.path, np.int32(-1))[frame]


_NONE, _NEVER = np.zeros(0, np.int32), np.zeros(0, np.int64)
NO_FRAMES = Frames(
    _NEVER, _NEVER, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, (), (), _NEVER, _NONE, _NONE, _NONE
)
