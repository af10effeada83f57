"""Idle time by cause and by what the host did for most of each stretch: a function, a line where known."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import numpy as np

from traceanalyzer.records import IDLE_CAUSES
from traceanalyzer.records.code import Wait, WaitPlace
from traceanalyzer.records.code_places import module_named
from traceanalyzer.records.frame_names import is_module_call, parsed
from traceanalyzer.records.frames import Frames
from traceanalyzer.records.judged import IdleTimes, Judged
from traceanalyzer.records.trace import PHASES, Bools, Codes, Ids, Ints, Trace

_LISTED = 500  # waits of which each has an entry of its own; of the others one a cause
_PLACES = 20
_DEEPEST = 1000  # frames that are looked at, from the innermost outwards: Python's own limit
_LONGEST_NAME = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class _Stretches(msgspec.Struct, frozen=True, eq=False):
    """Idle stretches of one cause each, by start, and where the host was meanwhile."""

    start_ns: Ints
    end_ns: Ints
    cause: Codes
    thread: Ids
    site: Ids  # row in Trace.call_sites; -1
    frame: Ids  # row in Frames of its function's frame; -1
    module: Ids  # as `modules_of_ops` numbers them; -1


def wait_times(judged: Judged) -> tuple[Wait, ...]:
    """The longest first; they add up to idle time exactly."""
    stretches = _located(judged.priced.trace, judged.idle)
    sites = len(judged.priced.trace.call_sites.sites) + 1
    keys, back = np.unique(stretches.cause.astype(np.int64) * sites + stretches.site + 1, return_inverse=True)
    length = stretches.end_ns - stretches.start_ns
    total = np.zeros(len(keys), np.int64)
    np.add.at(total, back, length)
    large = np.zeros(len(keys), bool)
    large[np.argsort(-total, kind="stable")[:_LISTED]] = True
    keys = np.where(large, keys, keys // sites * sites)  # the small ones of a cause together
    _, group = np.unique(keys[back], return_inverse=True)
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
    waits = [_wait(judged, stretches, rows, bool(large[back[rows[0]]])) for rows in members]
    return tuple(
        sorted(waits, key=lambda wait: (-wait.time_ns, wait.cause, wait.function or "", wait.line or 0))
    )


def _located(trace: Trace, idle: IdleTimes) -> _Stretches:
    """Stretches of one cause that follow one another are one."""
    opens = np.ones(len(idle.start_ns), bool)
    opens[1:] = (idle.start_ns[1:] != idle.end_ns[:-1]) | (idle.cause[1:] != idle.cause[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(opens))[: len(first)] - 1
    start, end = idle.start_ns[first], idle.end_ns[last]
    thread = _launching_thread(trace, end)
    frame = _covering(trace.frames, thread, start, end)
    whole = trace.call_sites.wholes(trace.frames.functions_at(frame))
    site = _sites(trace, whole, thread, start, end)
    module = _modules(trace, thread, start, end)
    return _Stretches(start, end, idle.cause[first], thread, site, frame, module)


def _sites(trace: Trace, whole: Ids, thread: Ids, start: Ints, end: Ints) -> Ids:
    """What called the operator that runs for most of each stretch; else the function as a whole, or -1.

    A backward operator belongs to the line of its forward one, where the host is not any more.
    """
    if not len(trace.call_sites.sites) or not len(trace.ops):
        return whole
    ops = trace.ops
    at = _op_open_at(trace, thread, start + (end - start) // 2)
    for _ in range(_DEEPEST):
        covered = np.minimum(ops.end_ns[at], end) - np.maximum(ops.start_ns[at], start)
        short = np.flatnonzero((at >= 0) & (2 * covered < end - start))
        if not len(short):
            break
        at[short] = ops.parent[at[short]]
    called = (at >= 0) & (ops.phase[at] != PHASES.index("backward"))
    site = trace.call_sites.at(np.where(called, at, np.int32(-1)))
    agrees = (whole < 0) | (trace.call_sites.wholes(site) == whole)
    return np.where(agrees & (site >= 0), site, whole).astype(np.int32)


def _launching_thread(trace: Trace, end_ns: Ints) -> Ids:
    """The thread that launches what ends each stretch; else the one that launches most."""
    kernels, launches = trace.kernels, trace.launches
    if trace.on_cpu or not len(launches):
        counts = np.bincount(trace.ops.thread) if len(trace.ops) else np.zeros(1, np.int64)
        return np.full(len(end_ns), counts.argmax(), np.int32)
    real = np.flatnonzero(kernels.end_ns > kernels.start_ns)
    following = np.append(real, -1)[np.searchsorted(kernels.start_ns[real], end_ns)]
    launch = np.append(kernels.launch, np.int32(-1))[following]
    launched = kernels.launch[kernels.launch >= 0]
    most = np.bincount(launches.thread[launched] if len(launched) else launches.thread).argmax()
    return np.where(launch >= 0, launches.thread[launch], most).astype(np.int32)


def _covering(frames: Frames, thread: Ids, start: Ints, end: Ints) -> Ids:
    """Frame of the innermost function that is open for most of each stretch; -1.

    Where that is a library's for arrays or files, the one that called it, if there is one. A thread of
    autograd has no frames: then the thread with most of them is in the function that waits for it.
    """
    if not len(frames):
        return np.full(len(start), -1, np.int32)
    of_tool = np.array([function.of_a_tool for function in frames.functions] + [False], bool)
    frame = _innermost(frames, frames.function_row, frames.outer_function, thread, start, end)
    busiest = np.bincount(frames.changed_thread).argmax()
    bare = np.flatnonzero((frame < 0) & (thread != busiest))
    other = np.full(len(bare), busiest, np.int32)
    frame[bare] = _innermost(
        frames, frames.function_row, frames.outer_function, other, start[bare], end[bare]
    )  # fmt: skip
    called = frame.copy()
    for _ in range(_DEEPEST):
        inside = np.flatnonzero((called >= 0) & of_tool[frames.functions_at(called)])
        if not len(inside):
            break
        called[inside] = frames.outer_function[called[inside]]
    return np.where(called >= 0, called, frame)


def _innermost(frames: Frames, row: Ids, outer: Ids, thread: Ids, start: Ints, end: Ints) -> Ids:
    """What covers most of a stretch is open in its middle: from the innermost there outwards."""
    at = np.append(row, np.int32(-1))[frames.open_at(thread, start + (end - start) // 2)]
    for _ in range(_DEEPEST):
        covered = np.minimum(frames.end_ns[at], end) - np.maximum(frames.start_ns[at], start)
        short = np.flatnonzero((at >= 0) & (2 * covered < end - start))
        if not len(short):
            break
        at[short] = outer[at[short]]
    return at


def _modules(trace: Trace, thread: Ids, start: Ints, end: Ints) -> Ids:
    """The module that is called for most of each stretch, or whose operator runs in its middle; -1."""
    module = np.full(len(start), -1, np.int32)
    frames = trace.frames
    if len(frames):
        call = _innermost(frames, frames.call, frames.outer_call, thread, start, end)
        path = frames.paths_at(call)
        module = np.where(path >= 0, path + np.int32(len(trace.names)), module).astype(np.int32)
    if (trace.ops.module >= 0).any():
        op = _op_open_at(trace, thread, start + (end - start) // 2)
        named = np.append(trace.ops.module, np.int32(-1))[op]
        module = np.where(named >= 0, named, module).astype(np.int32)
    return module


def _op_open_at(trace: Trace, thread: Ids, moment: Ints) -> Ids:
    """The innermost operator or annotation; -1."""
    ops = trace.ops
    order = np.lexsort((np.concatenate((ops.start_ns, moment)), np.concatenate((ops.thread, thread))))
    last = np.maximum.accumulate(np.where(order < len(ops), order, -1))
    op = np.empty(len(order), np.int64)
    op[order] = last
    at = op[len(ops) :]
    at = np.where((at >= 0) & (ops.thread[at] == thread), at, -1)
    for _ in range(_DEEPEST):
        ended = np.flatnonzero((at >= 0) & (ops.end_ns[at] <= moment))
        if not len(ended):
            return at.astype(np.int32)
        at[ended] = ops.parent[at[ended]]
    return np.where(ops.end_ns[at] <= moment, -1, at).astype(np.int32)


def _wait(judged: Judged, stretches: _Stretches, rows: Ints, of_one_site: bool) -> Wait:
    """Of several functions with little time each, none is named."""
    trace = judged.priced.trace
    length = stretches.end_ns[rows] - stretches.start_ns[rows]
    longest = rows[int(length.argmax())]
    site = int(stretches.site[longest]) if of_one_site else -1
    where = trace.call_sites.sites[site] if site >= 0 else None
    return Wait(
        cause=IDLE_CAUSES[stretches.cause[longest]],
        function=where.function.name if where else None,
        file=where.function.file if where else None,
        line=where.line if where else None,
        module=_module_of_most(trace, stretches.module[rows], length) if of_one_site else None,
        library_function=_called(trace, stretches, int(longest)) if where else None,
        line_is=where.line_is if where else None,
        library=where.function.library if where else None,
        count=len(rows),
        time_ns=int(length.sum()),
        longest_ns=int(length.max()),
        places=tuple(_places(judged, stretches.start_ns[rows], length)),
    )


def _module_of_most(trace: Trace, module: Ids, length: Ints) -> str | None:
    numbers, back = np.unique(module, return_inverse=True)
    time = np.zeros(len(numbers), np.int64)
    np.add.at(time, back, length)
    return module_named(trace, int(numbers[time.argmax()]))


def _places(judged: Judged, start: Ints, length: Ints) -> Iterator[WaitPlace]:
    cuts, steps = np.array(judged.window.cuts, np.int64), len(judged.window.steps)
    chosen = np.sort(np.argsort(-length, kind="stable")[:_PLACES])
    begun = np.searchsorted(cuts, start[chosen], side="right") - 1
    begun = np.clip(begun, 0, max(0, len(cuts) - 2))
    for step, at, ns in zip(begun.tolist(), start[chosen].tolist(), length[chosen].tolist(), strict=True):
        yield WaitPlace(step if steps else None, at - int(cuts[step]), ns)


def _called(trace: Trace, stretches: _Stretches, longest: int) -> str | None:
    """The library's function that the user's one called for most of the longest stretch."""
    spans, frames, frame = trace.spans, trace.frames, int(stretches.frame[longest])
    if frame < 0:
        return None
    start, end = int(stretches.start_ns[longest]), int(stretches.end_ns[longest])
    inside: Bools = (spans.start_ns >= frames.start_ns[frame]) & (spans.end_ns <= frames.end_ns[frame])
    covered = np.minimum(spans.end_ns, end) - np.maximum(spans.start_ns, start)
    inside &= ~spans.profiler & (2 * covered >= end - start)
    inside &= np.isin(spans.thread, _threads_of(frames, frame))
    for row in np.flatnonzero(inside).tolist():  # from the outermost
        text = trace.names[spans.name[row]]
        name = parsed(text)
        if spans.name[row] == frames.name[frame] or is_module_call(text):
            continue
        if name is not None:
            return f"{name.file}: {name.function}"[:_LONGEST_NAME]
        return _ADDRESS.sub("", text)[:_LONGEST_NAME]
    return None


def _threads_of(frames: Frames, frame: int) -> Ids:
    threads: Ids = frames.changed_thread[frames.changed_to == frame]
    return threads
