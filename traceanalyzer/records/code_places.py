"""Where in the code operators and kernels belong: module and function, by annotation or by stack."""

from __future__ import annotations

import numpy as np

from traceanalyzer.records.trace import PHASES, UNLINKED, Ids, Ints, Ops, Trace, nearest


def modules_of_ops(trace: Trace, rows: Ints | None = None) -> Ids:
    """A number for each operator, or those of `rows`, equal in one module; -1: in none that is known.

    `module_named` knows what it is called.
    """
    frames = trace.frames
    module = trace.ops.module if rows is None else trace.ops.module[rows]
    if not len(frames):
        return module
    path = frames.paths_at(frames.of_op if rows is None else frames.of_op[rows])
    by_stack = np.where(path >= 0, path + np.int32(len(trace.names)), np.int32(-1))
    return np.where(module >= 0, module, by_stack).astype(np.int32)


def module_named(trace: Trace, number: int) -> str | None:
    """The dotted name of an annotated module, the path of classes of one that only the stack shows."""
    if number < 0:
        return None
    by_stack = number - len(trace.names)
    return trace.names[number] if by_stack < 0 else trace.frames.paths[by_stack].path


def forward_source(ops: Ops) -> Ids:
    """Of each operator itself, of a backward one its forward operator: that is where it belongs."""
    source = np.arange(len(ops), dtype=np.int32)
    node = nearest(ops.parent, ops.forward >= 0)
    backward = (ops.phase == PHASES.index("backward")) & (node >= 0)
    source[backward] = ops.forward[node[backward]]
    return source


def sites_of_records(trace: Trace, frame: Ids) -> Ids:
    """Of each record the row in Trace.call_sites of what called it; -1.

    `frame`: the row in Trace.frames that it belongs to, which decides about the function where it is known.
    """
    whole = trace.call_sites.wholes(trace.frames.functions_at(frame))
    site = trace.call_sites.at(trace.kernels.op)
    site[trace.kernels.unlinked == UNLINKED.index("cuda_graph")] = -1
    agrees = (whole < 0) | (trace.call_sites.wholes(site) == whole)
    return np.where(agrees & (site >= 0), site, whole).astype(np.int32)


def frames_of_records(trace: Trace) -> Ids:
    """Of each record the row in Trace.frames that was the innermost at its launch; -1.

    A backward kernel belongs where its forward operator does, a CPU record where its operator began. A kernel
    of a graph has no place: it was launched with all others.
    """
    kernels, frames, ops = trace.kernels, trace.frames, trace.ops
    if not len(frames):
        return np.full(len(kernels), -1, np.int32)
    frame = np.append(frames.of_op, np.int32(-1))[kernels.op]
    node = nearest(ops.parent, ops.forward >= 0)
    backward = (ops.phase == PHASES.index("backward")) & (node >= 0)
    forward_known = np.append(backward, False)[kernels.op]
    launched = np.flatnonzero((kernels.launch >= 0) & ~forward_known)
    launch = kernels.launch[launched]
    frame[launched] = frames.open_at(trace.launches.thread[launch], trace.launches.start_ns[launch])
    frame[kernels.unlinked == UNLINKED.index("cuda_graph")] = -1
    return frame
