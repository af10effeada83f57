"""`assemble`: a judged trace and its suggestions in, the finished Analysis out; nothing else makes one."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from msgspec import UNSET

from traceanalyzer.assembly import totals
from traceanalyzer.assembly.function_times import function_times
from traceanalyzer.assembly.module_times import module_times
from traceanalyzer.assembly.provenance import coverage, kernel_table, source, window_info
from traceanalyzer.assembly.roof_notices import roof_notices
from traceanalyzer.assembly.row_places import with_places
from traceanalyzer.assembly.self_check import explained, formulas, self_check
from traceanalyzer.assembly.utilization import compute
from traceanalyzer.assembly.wait_places import with_wait_places
from traceanalyzer.assembly.wait_times import wait_times
from traceanalyzer.assembly.what_if import projections
from traceanalyzer.assembly.what_if_notices import notices as what_if_notices
from traceanalyzer.records import SCHEMA_VERSION, Analysis, Device, Notice, Tool
from traceanalyzer.records.code_places import frames_of_records, sites_of_records
from traceanalyzer.records.critical_path import CriticalPath
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.memory_use import MemoryUse
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.records.times import shown_step

_WHOLE_MICROSECONDS = ("integer_us", "integer_us_capitalised")  # dialects


def assemble(
    judged: Judged, suggestions: Suggestions, others: Sequence[Device] = (), *, keep_kernels: bool = False,
    critical_path: CriticalPath | Notice | None = None, memory: MemoryUse | Notice | None = None,
) -> Analysis:  # fmt: skip
    """The Analysis of one judged device, built once and never patched.

    `critical_path`, `memory`: that of the shown step, or why there is none.
    `others`: devices to project onto; `keep_kernels`: keep the columns behind `Analysis.kernels`.
    """
    trace, time, window_ns = judged.priced.trace, judged.time, judged.window_ns
    frame = frames_of_records(trace)
    site = sites_of_records(trace, frame)
    coarse = trace.dialect in _WHOLE_MICROSECONDS
    noted = explained(judged.rows, judged.device, whole_microseconds=coarse)
    rows = tuple(with_places(judged, noted, site))
    floor = {"launch_floor_ns": float(judged.launch_floor_ns)}
    steps = 0 if shown_step(judged.steps, judged.kinds) else len(judged.steps)
    of_roofs = roof_notices(rows, judged.device, time.busy_ns, judged.launch_floor_ns, trace.warnings)
    without = [part for part in (critical_path, memory) if isinstance(part, Notice)]
    waits = wait_times(judged)
    notices = (
        *without,
        *of_roofs,
        *suggestions.notices,
        *what_if_notices(rows, judged.device, others),
    )
    return Analysis(
        schema_version=SCHEMA_VERSION,
        tool=Tool("traceanalyze", version("torch-traceanalyzer")),
        source=source(judged, notices),
        recording=trace.recording,
        device=judged.device,
        thresholds=judged.thresholds.as_dict() | floor,
        window=window_info(judged),
        time=time,
        step_rows=judged.steps or None,
        step_timelines=judged.timeline if suggestions.checks else None,  # of what may be on top
        verdicts=totals.verdict_parts(rows, time.busy_ns, window_ns),
        memory=memory if isinstance(memory, MemoryUse) else None,
        memory_bound=totals.memory_bound(rows, time.busy_ns, window_ns),
        compute=compute(rows, judged.device, window_ns),
        coverage=coverage(judged),
        operator_classes=totals.class_parts(rows, time.busy_ns),
        op_rows=rows,
        suggestions=with_wait_places(suggestions.found, waits, len(judged.steps)),
        headroom=suggestions.headroom,
        checks=suggestions.checks,
        module_rows=module_times(judged, frame),
        function_rows=function_times(judged, site),
        wait_rows=waits,
        what_if=projections(rows, judged.device, time, steps, others, judged.thresholds) if others else None,
        critical_path=critical_path if isinstance(critical_path, CriticalPath) else None,
        self_check=self_check(rows, judged.device, time.busy_ns, whole_microseconds=coarse),
        formulas=formulas(rows, judged.priced.formula_text),
        kernel_table=kernel_table(judged, rows) if keep_kernels else UNSET,
    )
