"""Source, window, coverage and kernel columns of the Analysis."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from traceanalyzer.assembly import totals
from traceanalyzer.records import Coverage, KernelTable, Notice, Source, SourceFile, Spread, WindowInfo
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.trace import Window
from traceanalyzer.records.units import duration, percent

_REPORTED_SHARE = 0.01  # of the trace's busy time


def source(judged: Judged, further: Sequence[Notice]) -> Source:
    """The file and all notices: of reading, pricing, the device, the window, and `further`."""
    trace, time = judged.priced.trace, judged.time
    file = SourceFile(trace.path, trace.bytes, trace.events, trace.rank, judged.device_index)
    notices = [*trace.warnings, *judged.priced.notices, *judged.notices]
    if judged.clipped_calls:
        text = "calls are cut by the ends of the window: their time inside counts, their rates do not"
        notices.append(Notice("clipped", text, judged.clipped_calls))
    whole = time.busy_ns + time.outside_window_ns
    if time.outside_window_ns > _REPORTED_SHARE * whole:
        text = (
            f"{duration(time.outside_window_ns)} of activity, {percent(time.outside_window_ns / whole)} "
            "of the trace's busy time, lies outside the analyzed steps; --steps all counts it"
        )
        notices.append(Notice("outside_window", text))
    return Source((file,), trace.dialect, trace.salvaged, (*notices, *further))


def window_info(window: Window) -> WindowInfo:
    """Its steps and their spread; `step_count` None where the trace has none."""
    lengths = [end - start for start, end in zip(window.cuts, window.cuts[1:], strict=False)]
    spread = Spread(round(median(lengths)), min(lengths), max(lengths)) if window.steps else None
    names = tuple(step.name for step in window.steps)
    return WindowInfo(len(names) or None, names, window.end_ns - window.start_ns, spread)


def coverage(judged: Judged) -> Coverage:
    """How much of the kernels' time is linked, has shapes and is modelled."""
    table, times, priced = judged.table, judged.times, judged.priced
    ours = np.array([r.verdict not in ("communication", "copy") for r in table], bool)[times.row]
    modelled = np.array([r.verdict != "unmodelled" for r in table], bool)[times.row]
    by_op = np.array([r.input_dims is not None for r in table], bool)[times.row]
    linked = by_op & (priced.trace.kernels.unlinked < 0)
    shaped = ours & priced.shaped
    return totals.coverage(
        judged.rows,
        int(times.duration_ns[ours & linked].sum()),
        int(times.duration_ns[shaped].sum()),
        int(times.duration_ns[shaped & modelled].sum()),
    )


def kernel_table(judged: Judged) -> KernelTable:
    """Per-kernel columns of the records inside the window, in their order."""
    times, kernels = judged.times, judged.priced.trace.kernels
    chosen = np.flatnonzero(times.inside)
    return KernelTable(
        names=judged.priced.trace.names,
        rows=judged.table,
        name=kernels.name[chosen],
        row=times.row[chosen],
        start_ns=kernels.start_ns[chosen],
        time_ns=times.duration_ns[chosen],
        attributed_ns=times.attributed_ns[chosen],
        stream=kernels.stream[chosen],
        correlation=kernels.correlation[chosen],
        blocks=kernels.blocks[chosen],
    )
