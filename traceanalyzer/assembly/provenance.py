"""Parts of the Analysis that describe where it came from and how much of it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from traceanalyzer.assembly import totals
from traceanalyzer.cost.price import Ownership
from traceanalyzer.device.match import Match
from traceanalyzer.records import Coverage, Notice, OpRow, Source, SourceFile, Spread, TimeInfo, WindowInfo
from traceanalyzer.records.trace import Ints, Trace, Window
from traceanalyzer.records.units import duration, percent
from traceanalyzer.roofline.attribution import Extent
from traceanalyzer.roofline.invocations import Groups
from traceanalyzer.roofline.measure import Measured

_OUTSIDE_WORTH_A_WORD = 0.01  # of the trace's busy time


def source(trace: Trace, index: int, match: Match, measured: Measured, time: TimeInfo) -> Source:
    """The file, and every warning: of reading, of the device, of the window."""
    file = SourceFile(trace.path, trace.bytes, trace.events, trace.rank, index)
    warnings = [*trace.warnings, *match.warnings]
    if measured.cut_calls:
        text = "calls are cut by the window's ends: their time inside counts, their rates do not"
        warnings.append(Notice("clipped", text, measured.cut_calls))
    whole = time.busy_ns + time.outside_window_ns
    if time.outside_window_ns > _OUTSIDE_WORTH_A_WORD * whole:
        text = (
            f"{duration(time.outside_window_ns)} of activity, {percent(time.outside_window_ns / whole)} "
            "of the trace's busy time, lies outside the analysed steps; --steps all counts it"
        )
        warnings.append(Notice("outside_window", text))
    return Source((file,), trace.dialect, trace.salvaged, tuple(warnings))


def window_info(window: Window) -> WindowInfo:
    """Its steps and their spread; `step_count` None where the trace has none."""
    lengths = sorted(step.end_ns - step.start_ns for step in window.steps)
    spread = Spread(lengths[(len(lengths) - 1) // 2], lengths[0], lengths[-1]) if lengths else None
    names = tuple(step.name for step in window.steps)
    return WindowInfo(len(names) or None, names, window.end_ns - window.start_ns, spread)


def coverage(
    trace: Trace,
    ownership: Ownership,
    groups: Groups,
    duration_ns: Ints,
    table: Sequence[OpRow],
    rows: Sequence[OpRow],
) -> Coverage:
    """`table`: one row a group, in the groups' order; `rows`: those of the report."""
    ours = np.array([r.verdict not in ("communication", "copy") for r in table], bool)[groups.row]
    known = np.array([r.verdict != "unmodelled" for r in table], bool)[groups.row]
    by_op = np.array([r.input_dims is not None for r in table], bool)[groups.row]
    linked = by_op & (trace.kernels.unlinked < 0)
    shaped = ours & ownership.shaped
    return totals.coverage(
        rows,
        int(duration_ns[ours & linked].sum()),
        int(duration_ns[shaped].sum()),
        int(duration_ns[shaped & known].sum()),
    )


def kernel_columns(
    trace: Trace, groups: Groups, extent: Extent, attributed_ns: Ints, table: Sequence[OpRow]
) -> Mapping[str, Any]:
    """Per-kernel columns of the records inside the window, in their order."""
    chosen = np.flatnonzero(extent.inside)
    kernels = trace.kernels
    rows = groups.row[chosen].tolist()
    return {
        "name": [trace.names[i] for i in kernels.name[chosen].tolist()],
        "start_ns": kernels.start_ns[chosen],
        "time_ns": extent.duration_ns[chosen],
        "attributed_ns": attributed_ns[chosen],
        "stream": kernels.stream[chosen],
        "correlation": kernels.correlation[chosen],
        "blocks": kernels.blocks[chosen],
        "op": [table[row].name for row in rows],
        "phase": [table[row].phase for row in rows],
        "verdict": [table[row].verdict for row in rows],
        "operator_class": [table[row].operator_class for row in rows],
    }
