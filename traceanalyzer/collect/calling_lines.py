"""The line that calls each operator of one recorded step, of which no time is taken.

A trace function follows the thread that trains through the functions outside torch and the standard library;
wherever another line is reached it leaves a mark in the recording, an operator that does nothing. Whatever
operator begins in that thread before the next mark was called by that line.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, ClassVar

import msgspec

from traceanalyzer.collect.modules import exclude_from_dynamo
from traceanalyzer.records.frame_names import is_generated, parsed

MARK = "traceanalyze.line#"  # and a row of `CallSites.sites`, -1 where none is known
_MOST_MARKS = 50_000  # of a step, about 10 us each: beyond, what is called has no known line
_MOST_IN_ONE = 10_000  # of one function, which is likely a loop without operators
_SITES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_COMPILED = "__compiled_fn"  # torch/_dynamo/output_graph.py: what code that was compiled in place calls
_BUSY = "a debugger, a coverage tool or another trace function follows the script"
_TOO_MANY = f"the step goes through more than {_MOST_MARKS:,} lines of Python"

_RUNNER = str(Path(__file__).with_name("script.py"))

Trace = Any  # what sys.settrace takes


class CallSites(msgspec.Struct):
    """Functions and, as rows of these, lines in them, in the order in which the step reached them."""

    functions: list[tuple[str, int, str, int]] = msgspec.field(default_factory=list)  # see `_listed`
    sites: list[tuple[int, int | None]] = msgspec.field(default_factory=list)  # function, line
    unknown: str | None = None  # why no lines are known, or not of all


class CallingLines:
    """Marks lines between `start` and `stop`, in the thread that calls both."""

    _current: ClassVar[CallingLines | None] = None
    _forks: ClassVar[bool] = False  # whether children are told

    def __init__(self) -> None:
        self.call_sites = CallSites()
        self._functions: dict[CodeType, int] = {}  # -1: not of the user
        self._sites: dict[tuple[CodeType, int | None], tuple[int, Any]] = {}
        self._marked: dict[CodeType, int] = {}  # how often, of each function
        self._left = _MOST_MARKS
        self._last: int | None = None  # row in `sites` of the last mark
        self._mark: Any = None
        self._trace: Trace = self._entered  # one object, to be recognized
        self._local: Trace = self._reached
        self._ours, self._path = _library_folders(), _path_folders()

    def start(self) -> None:
        """Follow the functions that are running, and those that they call."""
        from torch._C import _profiler

        self._mark = getattr(_profiler, "_RecordFunctionFast", None)
        if self._mark is None:
            self.call_sites.unknown = "this version of torch has no mark that is cheap enough"
        elif sys.gettrace() is not None:
            self.call_sites.unknown = _BUSY
        else:
            CallingLines._current = self
            _tell_children()
            if "torch._dynamo.trace_rules" in sys.modules:
                exclude_from_dynamo(sys.modules["torch._dynamo.trace_rules"])
            for frame in _around(sys._getframe(1)):
                if self._function_of(frame.f_code) >= 0:
                    frame.f_trace = self._local
            self._mark_innermost(sys._getframe(1))
            sys.settrace(self._trace)

    def stop(self) -> None:
        """What traces the thread from here on is what did before; harmless where nothing was started."""
        if CallingLines._current is self:
            CallingLines._current = None
            if sys.gettrace() is self._trace:
                sys.settrace(None)
            else:
                self.call_sites = CallSites(unknown=_BUSY)  # from some line on, nobody knows which
        self._release(sys._getframe(1))

    def _release(self, frame: FrameType | None) -> None:
        """Leave nothing on the frames that run; those that wait were left so when they paused."""
        for each in _around(frame):
            if each.f_trace is self._local:
                _untrace(each)

    def _entered(self, frame: FrameType, event: str, argument: object) -> Trace:
        """A function is called, or a generator continues."""
        try:
            code = frame.f_code
            function = self._functions.get(code)
            if function is None:
                function = self._function_of(code)
            if function < 0 or CallingLines._current is not self:
                return None
            if self._marked.get(code, 0) >= _MOST_IN_ONE or _is_compiled(code):
                frame.f_trace_lines = False
                self._reach(code, None)
            return self._unless_over()
        except Exception as error:
            return self._failed(error)

    def _reached(self, frame: FrameType, event: str, argument: object) -> Trace:
        """A line is reached, or a function returns, or a generator yields, to a line of its caller."""
        if CallingLines._current is not self:
            return _untrace(frame)
        try:
            if event == "line":
                self._line(frame)
            elif event == "return":
                _untrace(frame)  # it may be kept, and continue under a debugger
                if frame.f_back is not None:
                    self._mark_innermost(frame.f_back)
                return None
            return self._unless_over()
        except Exception as error:
            return self._failed(error)

    def _unless_over(self) -> Trace:
        """What a frame is traced by from here on."""
        return self._local if CallingLines._current is self else None

    def _line(self, frame: FrameType) -> None:
        code = frame.f_code
        marked = self._marked[code] = self._marked.get(code, 0) + 1
        if marked < _MOST_IN_ONE:
            self._reach(code, frame.f_lineno)
        else:
            frame.f_trace_lines = False
            self._reach(code, None)

    def _mark_innermost(self, frame: FrameType) -> None:
        """The line in progress of the innermost function of the user's."""
        for each in _around(frame):
            if self._function_of(each.f_code) >= 0:
                by_line = each.f_trace_lines and not _is_compiled(each.f_code)
                self._reach(each.f_code, each.f_lineno if by_line else None)
                return
        self._leave(-1, self._mark(f"{MARK}-1"))

    def _reach(self, code: CodeType, line: int | None) -> None:
        site = self._sites.get((code, line))
        if site is None:
            row = len(self.call_sites.sites)
            self.call_sites.sites.append((self._function_of(code), line))
            site = self._sites[code, line] = row, self._mark(f"{MARK}{row}")
        if site[0] != self._last:
            self._leave(*site)

    def _leave(self, row: int, mark: Any) -> None:
        self._left -= 1
        if self._left < 0:
            return self._give_up(_TOO_MANY)
        self._last = row
        with mark:
            pass

    def _give_up(self, why: str) -> None:
        """What follows has no known line."""
        self.call_sites.unknown = why
        with self._mark(f"{MARK}-1"):
            pass
        if sys.gettrace() is self._trace:
            sys.settrace(None)
        CallingLines._current = None
        self._release(sys._getframe(1))

    def _failed(self, error: Exception) -> None:
        """An exception that left a trace function would be raised in the script."""
        self._give_up(f"{type(error).__name__}: {error}")

    def _function_of(self, code: CodeType) -> int:
        """Row in `functions`; -1 of a function of torch's, of the standard library's, of no file."""
        function = self._functions.get(code)
        if function is None:
            function = self._functions[code] = self._listed(code) if self._is_of_a_user(code) else -1
        return function

    def _listed(self, code: CodeType) -> int:
        """File, first line, name and last line."""
        last = max((line for *_, line in code.co_lines() if line), default=code.co_firstlineno)
        file = code.co_filename
        folder = next((each for each in self._path if file.startswith(each)), "")
        if folder.endswith(_SITES):
            file = f"{folder.split(os.sep)[-2]}/{file[len(folder) :]}"  # keeps it apart from the user's own
        else:
            file = file[len(folder) :]
        self.call_sites.functions.append((file, code.co_firstlineno, code.co_name, last))
        return len(self.call_sites.functions) - 1

    def _is_of_a_user(self, code: CodeType) -> bool:
        file = code.co_filename
        if file.startswith(self._ours[0]) or is_generated(file):
            return False
        if file.startswith(self._ours[1]) and "-packages" not in file:
            return False
        return parsed(f"{file}({code.co_firstlineno}): {code.co_name}") is not None


def _untrace(frame: FrameType) -> None:
    frame.f_trace, frame.f_trace_lines = None, True


def _is_compiled(code: CodeType) -> bool:
    """Whether torch.compile has rewritten it: several lines are one region, which no line calls."""
    return any(name.startswith(_COMPILED) for name in code.co_names)


def _around(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that called it, up to what runs the script."""
    while frame is not None and frame.f_code.co_filename != _RUNNER:
        yield frame
        frame = frame.f_back


def _library_folders() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where torch and this package lie, and the standard library."""
    import torch

    packages = (Path(torch.__file__).parent, Path(__file__).parents[1])
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(os.__file__)}
    return (
        tuple(f"{folder}{os.sep}" for folder in packages),
        tuple(f"{folder}{os.sep}" for folder in sorted(standard)),
    )


def _path_folders() -> tuple[str, ...]:
    """Of `sys.path`: torch's own recorder of stacks writes a file without the one that it lies in.

    torch/profiler/python_tracer.py, `_prefix_regex`.
    """
    return tuple(sorted({os.path.abspath(folder) + os.sep for folder in sys.path}, reverse=True))


def _tell_children() -> None:
    """A forked child, as a DataLoader's worker, is not followed."""
    if not CallingLines._forks and hasattr(os, "register_at_fork"):
        CallingLines._forks = True
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    current, CallingLines._current = CallingLines._current, None
    if current is not None and sys.gettrace() is current._trace:
        sys.settrace(None)
        current._release(sys._getframe(1))
