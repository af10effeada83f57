"""Recording cycles: runs of steps between which the profiler was off."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import Ints, Step, Trace
from traceanalyzer.trace.linking.steps import listed

_SILENT_SHARE = 0.9  # of the time between two steps, in one stretch: nothing was recorded then
_PAUSE_STEPS = 0.1  # of a step's length, that the profiler is off at least


def one_cycle(trace: Trace) -> tuple[tuple[Step, ...], tuple[Notice, ...]]:
    """The steps of the cycle with most of them, the last of such; all steps where there is one cycle only.

    A new one begins where the numbering breaks and nothing was recorded on any thread meanwhile: what the
    program did then is not known.
    """
    cycles = _cycles(trace)
    if len(cycles) < 2:
        return trace.steps, ()
    chosen = max(reversed(cycles), key=len)
    text = (
        f"the steps ({listed(trace.steps)}) were recorded in {len(cycles)} cycles, with nothing recorded in "
        f"between: the report is about {listed(chosen)}, --steps A-B selects others"
    )
    return tuple(chosen), (Notice("one_cycle_of_several", text, len(cycles)),)


def _cycles(trace: Trace) -> list[list[Step]]:
    pairs = list(zip(trace.steps, trace.steps[1:], strict=False))
    breaks = [at for at, (a, b) in enumerate(pairs, 1) if b.number != a.number + 1]
    if not breaks:
        return []
    pause = _PAUSE_STEPS * median(step.end_ns - step.start_ns for step in trace.steps)
    opens, closes = _silence(trace)
    borders = [0]
    for at in breaks:
        begin, end = trace.steps[at - 1].end_ns, trace.steps[at].start_ns
        if end - begin > pause and _longest(opens, closes, begin, end) >= _SILENT_SHARE * (end - begin):
            borders.append(at)
    borders.append(len(trace.steps))
    return [list(trace.steps[a:b]) for a, b in zip(borders, borders[1:], strict=False)]


def _silence(trace: Trace) -> tuple[Ints, Ints]:
    """Stretches in which nothing of the trace runs, on the host or a device."""
    outer = trace.ops.parent < 0  # all others lie within these
    columns = [(trace.ops.start_ns[outer], trace.ops.end_ns[outer])]
    others = (trace.launches, trace.spans, *(() if trace.on_cpu else (trace.kernels,)))
    columns += [(table.start_ns, table.end_ns) for table in others]
    start_ns, end_ns = (np.concatenate(each) for each in zip(*columns, strict=True))
    order = np.argsort(start_ns, kind="stable")
    start_ns, reach_ns = start_ns[order], np.maximum.accumulate(end_ns[order])
    silent = start_ns[1:] > reach_ns[:-1]
    return reach_ns[:-1][silent], start_ns[1:][silent]


def _longest(opens: Ints, closes: Ints, begin: int, end: int) -> int:
    """The longest part of one of the stretches in [begin, end)."""
    part: slice = slice(np.searchsorted(closes, begin, side="right"), np.searchsorted(opens, end))
    lengths: Sequence[int] | Ints = np.minimum(closes[part], end) - np.maximum(opens[part], begin)
    return int(max(lengths, default=0))
