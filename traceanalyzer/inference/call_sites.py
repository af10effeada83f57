"""The line that called each operator, where one more step of the same recording was followed line by line.

The stack says only in which function an operator was called, and not that without stacks. The followed step
calls the same operators in the same order; close to where it differs from a timed one, no line is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.inference.align_steps import matched
from traceanalyzer.records import Notice
from traceanalyzer.records.call_sites import CallSite, CallSites
from traceanalyzer.records.code_places import forward_source
from traceanalyzer.records.frame_names import FrameName, is_a_tool, library_of, parsed, short_files
from traceanalyzer.records.frames import Function
from traceanalyzer.records.trace import Ids, Trace

_MARGIN = 16  # operators from a difference: nearer, an equal name may be of another line
_MATCHED = 0.5  # a followed step of which less is found again in the timed one is another kind of step


class _Reached(msgspec.Struct):
    """As in collect/calling_lines.py."""

    functions: list[tuple[str, int, str, int]] = msgspec.field(default_factory=list)  # first line, name, last
    sites: list[tuple[int, int | None]] = msgspec.field(default_factory=list)  # function, line
    unknown: str | None = None


class _Followed(msgspec.Struct):
    """Of collect/evidence.py what is about lines; columns of operators."""

    names: list[str]
    name: list[int]
    thread: list[int]
    site: list[int] = msgspec.field(default_factory=list)  # row in call_sites.sites; -1
    call_sites: _Reached = msgspec.field(default_factory=_Reached)


def with_call_sites(trace: Trace) -> Trace:
    """The trace, with the function of each operator and the line where it is known."""
    whole = tuple(CallSite(function, function.line, "function") for function in trace.frames.functions)
    frames = trace.frames
    of_op = frames.functions_at(frames.of_op) if len(frames) else np.full(len(trace.ops), -1, np.int32)
    by_stack = CallSites(whole, np.arange(len(whole), dtype=np.int32), of_op)
    if trace.evidence is None:
        return replace(trace, call_sites=by_stack)
    try:
        followed = _followed(trace.evidence)
        sites = _joined(trace, by_stack, followed)
    except Exception as error:  # whatever a recording holds, the report arrives
        text = f"the calling lines: {type(error).__name__}: {error}; functions are named without them"
        return _noted(replace(trace, call_sites=by_stack), "evidence_unreadable", text)
    trace, why = replace(trace, call_sites=sites), followed.call_sites.unknown
    return _noted(trace, "calling_lines_unknown", f"not every calling line is known: {why}") if why else trace


def _noted(trace: Trace, code: str, text: str) -> Trace:
    return replace(trace, warnings=(*trace.warnings, Notice(code, text)))


def _followed(text: str) -> _Followed:
    """ValueError where its columns do not fit together."""
    step = msgspec.json.decode(text, type=_Followed)
    reached, count = step.call_sites, len(step.name)
    step = replace(step, site=step.site or [-1] * count)
    if len(step.site) != count or len(step.thread) != count:
        raise ValueError("its columns differ in length")
    if count and not 0 <= min(step.name) <= max(step.name) < len(step.names):
        raise ValueError("it names operators that it does not list")
    if count and not -1 <= min(step.site) <= max(step.site) < len(reached.sites):
        raise ValueError("it names lines that it does not list")
    if not all(0 <= function < len(reached.functions) for function, _ in reached.sites):
        raise ValueError("it names functions that it does not list")
    return step


def _joined(trace: Trace, by_stack: CallSites, followed: _Followed) -> CallSites:
    """A line counts where the stack, if there is one, names its function too."""
    row = _rows(trace, followed)
    if not (row >= 0).any():
        return by_stack
    sites, whole, number = _listed(by_stack, followed.call_sites)
    line = np.append(number, np.int32(-1))[row]
    every = CallSites(sites, whole, by_stack.of_op)
    in_stack, in_line = every.wholes(by_stack.of_op), every.wholes(line)
    agrees = (line >= 0) & ((in_stack < 0) | (in_stack == in_line))
    return replace(every, of_op=np.where(agrees, line, in_stack).astype(np.int32))


def _rows(trace: Trace, followed: _Followed) -> Ids:
    """Row in the recorded sites of each operator, of a backward one that of its forward one; -1."""
    names = [followed.names[name] for name in followed.name]
    site = np.array(followed.site, np.int32)
    of_op = np.full(len(trace.ops), -1, np.int32)
    steps = trace.steps if len(names) else ()
    for row in matched(names, followed.thread, trace, steps, margin=_MARGIN):
        if (row >= 0).sum() >= _MATCHED * len(names):
            of_op[row[row >= 0]] = site[row >= 0]
    return of_op[forward_source(trace.ops)]


def _listed(by_stack: CallSites, reached: _Reached) -> tuple[tuple[CallSite, ...], Ids, Ids]:
    """All sites, the row of each one's function as a whole, and the row of each recorded site; -1."""
    sites, whole = list(by_stack.sites), by_stack.whole.tolist()
    names = [parsed(f"{file}({line}): {name}") for file, line, name, _ in reached.functions]
    short = short_files([name.file for name in names if name is not None])
    function_rows = []
    for name, (*_, last) in zip(names, reached.functions, strict=True):
        if name is None:
            function_rows.append(-1)
            continue
        in_stack = list(_in_stack(name, last, by_stack.sites))
        file = by_stack.sites[in_stack[0]].function.file if in_stack else short[name.file]
        function_rows.append(len(sites))
        for row in in_stack:
            whole[row] = len(sites)
        whole.append(len(sites))
        function = Function(file, name.line, name.function, is_a_tool(name), library_of(name))
        sites.append(CallSite(function, name.line, "function"))
    number = []
    for of_function, line in reached.sites:
        row = function_rows[of_function]
        if row >= 0 and line is not None:
            sites.append(CallSite(sites[row].function, line, "call"))
            whole.append(row)
            row = len(sites) - 1
        number.append(row)
    return tuple(sites), np.array(whole, np.int32), np.array(number, np.int32)


def _in_stack(name: FrameName, last: int, by_stack: Sequence[CallSite]) -> Iterator[int]:
    """Rows of the function where stacks name it.

    They do so by the line where it began, or went on: a generator, or what ran already when recording began.
    """
    file = f"/{name.file}"
    for row, site in enumerate(by_stack):
        function = site.function
        alike = function.name == name.function and file.endswith(f"/{function.file}")
        if alike and (name.line or 0) <= (function.line or 0) <= last:
            yield row
