"""Frames nested by their times, in one sweep: which function and which module are the innermost, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.records.code_places import forward_source
from traceanalyzer.records.frame_names import (
    class_of,
    is_a_tool,
    is_module_call,
    library_of,
    parsed,
    short_files,
)
from traceanalyzer.records.frames import NO_FRAMES, ClassPath, Frames, Function
from traceanalyzer.records.trace import Ids, Ints, Ops, passes
from traceanalyzer.trace.linking.tree import order
from traceanalyzer.trace.reading.raw import RawFrames

_DEEPEST = 64  # modules inside one another that are told apart
_AT_ONCE = 1 << 16  # rows turned into Python integers at a time
_COLUMNS = ("end_ns", "function_row", "outer_function", "call", "path", "outer_call")


def frames_of(names: Sequence[str], raw: RawFrames, tolerance_ns: int) -> Frames:
    """Nest the frames; `tolerance_ns`: the resolution of the clock, by which neighbors may overlap."""
    if not len(raw.start_ns):
        return NO_FRAMES
    rows = order(raw.thread, raw.start_ns, raw.end_ns)
    thread, start, end, name = raw.thread[rows], raw.start_ns[rows], raw.end_ns[rows], raw.name[rows]
    of_module = passes(names, name, is_module_call)
    functions, function_of_name = _functions(names, np.unique(name[~of_module]))
    sweep = _Sweep(names, tolerance_ns)
    for begin in range(0, len(rows), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        sweep.add(begin, thread[part], start[part], end[part], name[part], of_module[part])
    sweep.finish()
    row = np.concatenate(sweep.columns["function_row"])
    function = np.append(function_of_name[name], np.int32(-1))[row]
    columns: dict[str, Any] = {each: np.concatenate(parts) for each, parts in sweep.columns.items()}
    return Frames(
        start_ns=start, name=name, function=function, functions=functions, paths=tuple(sweep.paths),
        of_op=np.zeros(0, np.int32), **columns,
    )  # fmt: skip


def at_ops(frames: Frames, ops: Ops) -> Frames:
    """With the frame in which each operator began; a backward one belongs where its forward operator does."""
    if not len(frames):
        return frames
    source = forward_source(ops)
    return replace(frames, of_op=frames.open_at(ops.thread[source], ops.start_ns[source]))


def _functions(names: Sequence[str], used: Ids) -> tuple[tuple[Function, ...], Ids]:
    """The distinct functions, and of each row of `names` its own; -1."""
    parsed_names = [(row, name) for row in used.tolist() if (name := parsed(names[row])) is not None]
    short = short_files([name.file for _, name in parsed_names])
    of_name = np.full(len(names), -1, np.int32)
    of_name[[row for row, _ in parsed_names]] = np.arange(len(parsed_names), dtype=np.int32)
    return tuple(
        Function(short[name.file], name.line, name.function, is_a_tool(name), library_of(name))
        for _, name in parsed_names
    ), of_name


class _Open(msgspec.Struct):
    """The frames open at one moment of the sweep, outermost first; the entry at the bottom is none."""

    thread: int = -1
    rows: list[int] = msgspec.field(default_factory=lambda: [-1])
    ends: list[int] = msgspec.field(default_factory=lambda: [2**63 - 1])
    functions: list[int] = msgspec.field(
        default_factory=lambda: [-1]
    )  # of each: its innermost function's row
    calls: list[int] = msgspec.field(default_factory=lambda: [-1])  # and its innermost module's
    paths: list[int] = msgspec.field(default_factory=lambda: [-1])


class _Sweep:
    """Rows in `order`, taken one by one; a stack of those that are open."""

    def __init__(self, names: Sequence[str], tolerance_ns: int) -> None:
        self.paths: list[ClassPath] = []
        self.columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, *_CHANGES)}
        self._names, self._tolerance = names, tolerance_ns
        self._open = _Open()
        self._path_of: dict[tuple[int, str], int] = {}
        self._path_of_instance: dict[int, int] = {}  # by name: where it was called by another module
        self._depth: list[int] = []
        self._changes: list[tuple[int, int, int]] = []

    def add(self, first: int, thread: Ids, start: Ints, end: Ints, name: Ids, of_module: Any) -> None:
        """The next rows, of which `first` is the number of the first."""
        results: list[tuple[int, ...]] = []
        columns = (column.tolist() for column in (thread, start, end, name, of_module))
        for row, (on, opens, closes, text, module) in enumerate(zip(*columns, strict=True), first):
            self._close(on, opens, closes)
            results.append(self._enter(row, opens, closes, text if module else -1))
        for column, values in zip(_COLUMNS, zip(*results, strict=True), strict=True):
            self.columns[column].append(np.array(values, np.int64 if column == "end_ns" else np.int32))
        self._store()

    def finish(self) -> None:
        """All that is still open ends."""
        self._close(-1, 0, 0)
        self._store()

    def _close(self, thread: int, opens: int, closes: int) -> None:
        """What has ended when a frame opens, or overlaps with it by no more than the clock's resolution."""
        while len(self._open.rows) > 1:
            end = self._open.ends[-1]
            if self._open.thread == thread and end > opens:
                if end - opens > self._tolerance or closes - end <= end - opens:
                    break
                end = opens
            for stack in (
                self._open.rows,
                self._open.ends,
                self._open.functions,
                self._open.calls,
                self._open.paths,
            ):
                stack.pop()
            self._changes.append((end, self._open.thread, self._open.rows[-1]))
        self._open.thread = thread

    def _enter(self, row: int, opens: int, closes: int, name: int) -> tuple[int, ...]:
        """Open it; `name`: of a module's call, -1 of a function."""
        closes = min(closes, self._open.ends[-1])
        function, outer, call, path = self._open.functions[-1], -1, self._open.calls[-1], self._open.paths[-1]
        outer_call = -1
        if name >= 0:
            call, outer_call = row, call
            path = self._path_of_call(path, name)
        else:
            function, outer = row, function
        self._open.rows.append(row)
        self._open.ends.append(closes)
        self._open.functions.append(function)
        self._open.calls.append(call)
        self._open.paths.append(path)
        self._changes.append((opens, self._open.thread, row))
        return closes, function, outer, call, path, outer_call

    def _path_of_call(self, parent: int, name: int) -> int:
        """A layer that runs again in the backward pass is called by no module: it is where it was before."""
        if parent < 0:
            path = self._path_of_instance.get(name)
            return self._path(parent, class_of(self._names[name])) if path is None else path
        path = self._path(parent, class_of(self._names[name]))
        self._path_of_instance.setdefault(name, path)
        return path

    def _path(self, parent: int, class_name: str) -> int:
        """Of what lies too deep, the last that is told apart."""
        depth = self._depth[parent] + 1 if parent >= 0 else 0
        if depth >= _DEEPEST:
            return parent
        path = self._path_of.get((parent, class_name))
        if path is None:
            path = self._path_of[parent, class_name] = len(self.paths)
            text = f"{self.paths[parent].path}.{class_name}" if parent >= 0 else class_name
            self.paths.append(ClassPath(text, class_name, parent))
            self._depth.append(depth)
        return path

    def _store(self) -> None:
        changes = np.array(self._changes, np.int64).reshape(-1, 3)
        self._changes = []
        for name, values, dtype in zip(_CHANGES, changes.T, (np.int64, np.int32, np.int32), strict=True):
            self.columns[name].append(values.astype(dtype))


_CHANGES = ("changed_ns", "changed_thread", "changed_to")
