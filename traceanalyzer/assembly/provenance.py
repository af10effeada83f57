"""Source, window, coverage and kernel columns of the Analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np

from traceanalyzer.assembly import totals
from traceanalyzer.records import (
    Coverage,
    KernelTable,
    Notice,
    OpRow,
    Source,
    SourceFile,
    Spread,
    StepKind,
    WindowInfo,
)
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.times import kind_name, shown_step
from traceanalyzer.records.trace import UNLINKED
from traceanalyzer.records.units import duration, percent

_REPORTED_SHARE = 0.01  # of the trace's busy time, or of the window
_KINDS = 4  # of steps, that are listed
_START_UP_NS = 10_000_000  # of start-up that is said, however long the window


def source(judged: Judged, further: Sequence[Notice]) -> Source:
    """The file and all notices: of reading, pricing, the device, the window, and `further`."""
    trace, time = judged.priced.trace, judged.time
    file = SourceFile(trace.path, trace.bytes, trace.events, trace.rank, judged.device_index)
    of_trace = (*trace.warnings, *judged.priced.notices)
    notices = [*(each for each in of_trace if _concerns_window(judged, each)), *judged.notices]
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
    return Source((file,), trace.dialect, trace.salvaged, (*notices, *_about_time(judged), *further))


def _concerns_window(judged: Judged, notice: Notice) -> bool:
    """Whether what is noted of records is so of any that counts: what lies outside touches no figure."""
    reason = notice.code.removeprefix("unlinked_")
    if notice.code == "borrowed_shapes":
        return any("borrowed_shapes" in row.flags for row in judged.rows)
    if reason == notice.code or reason not in UNLINKED:
        return True
    records = judged.priced.trace.kernels.unlinked == UNLINKED.index(reason)
    return bool((judged.times.attributed_ns[records] > 0).any())


def _about_time(judged: Judged) -> Iterator[Notice]:
    """Steps that differ, and what is paid once a process."""
    shown = shown_step(judged.steps, judged.kinds)
    if shown is not None:
        lengths = [step.length_ns for step in judged.steps]
        kinds = f", of {len(judged.kinds)} kinds" if judged.kinds else ""
        text = (
            f"the {len(lengths)} steps take {duration(min(lengths))} to {duration(max(lengths))}{kinds}: the "
            f"first figures are of {shown.name}, those of rows and classes of all steps{_listed(judged)}"
        )
        yield Notice("steps_differ", text)
    start_up = judged.idle_ns("first_use")
    if start_up > min(_START_UP_NS, _REPORTED_SHARE * judged.window_ns):
        text = (
            f"start-up (loading of code, streams, first calls of libraries) takes {duration(start_up)}, "
            f"{percent(start_up / judged.window_ns)} of the window: record with a schedule, with wait and "
            "warmup steps"
        )
        yield Notice("startup_recorded", text)


def _listed(judged: Judged) -> str:
    """`; kind A: 4 steps; B: 2 steps, 15 times as long`: by the names that savings have."""
    if not judged.kinds:
        return ""
    texts = [f"{kind_name(0)}: {_steps(judged.kinds[0])}"]
    texts += [
        f"{kind_name(at)}: {_steps(group)}, {group.why}" for at, group in enumerate(judged.kinds[1:_KINDS], 1)
    ]
    further = len(judged.kinds) - len(texts)
    return f". Kind {'. '.join(texts)}{f'. And {further} more kinds' if further else ''}"


def _steps(group: StepKind) -> str:
    return f"{len(group.steps)} step{'' if len(group.steps) == 1 else 's'}"


def window_info(judged: Judged) -> WindowInfo:
    """Its steps, their spread and kinds; `step_count` None where the trace has none."""
    window, lengths = judged.window, [step.device_ns for step in judged.steps]
    spread = Spread(round(median(lengths)), min(lengths), max(lengths)) if lengths else None
    names = tuple(step.name for step in window.steps)
    length = window.end_ns - window.start_ns
    return WindowInfo(len(names) or None, names, length, spread, judged.kinds or None)


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


def kernel_table(judged: Judged, rows: Sequence[OpRow]) -> KernelTable:
    """Per-kernel columns of the records inside the window, in their order; `rows`: those of the report."""
    times, kernels = judged.times, judged.priced.trace.kernels
    chosen = np.flatnonzero(times.inside)
    index = {id(row): i for i, row in enumerate(judged.rows)}
    reported = np.array([index.get(id(row), -1) for row in judged.table], np.int64)
    return KernelTable(
        names=judged.priced.trace.names,
        rows=rows,
        name=kernels.name[chosen],
        row=reported[times.row[chosen]],
        start_ns=kernels.start_ns[chosen],
        time_ns=times.duration_ns[chosen],
        attributed_ns=times.attributed_ns[chosen],
        stream=kernels.stream[chosen],
        correlation=kernels.correlation[chosen],
        blocks=kernels.blocks[chosen],
    )
