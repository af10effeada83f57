"""One side of a comparison: its runs together, everything per step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec

from traceanalyzer.comparison.apportion import apportioned, per_step
from traceanalyzer.records import IDLE_CAUSES, VERDICTS, Analysis, IdleCause, OpRow, Verdict
from traceanalyzer.records.comparison import SideDevice, SideFile, SideInfo, SideRow
from traceanalyzer.records.errors import UsageError

_NO_TIMES = "counters_without_times"
RowKey = tuple[Any, ...]
"""Name, dims, types, strides, concrete inputs, phase, module: what tells rows of a side apart."""


class Row(msgspec.Struct, frozen=True):
    """Rows of one key, of all runs together; times are totals over all steps."""

    key: RowKey
    row: OpRow  # of the run where it takes most time
    calls: int
    time_ns: int  # attributed
    flops: int | None
    kernel_names: tuple[str, ...]  # longest first


class Side(msgspec.Struct, frozen=True, dict=True):
    """One or more runs of the same program."""

    runs: tuple[Analysis, ...]

    def __post_init__(self) -> None:
        """UsageError where a run has no times, or only some runs have steps."""
        for run in self.runs:
            if any(notice.code == _NO_TIMES for notice in run.source.warnings):
                raise UsageError(f"{run.source.files[0].path}: has hardware counters and no times",
                                 fix="give a recording without counters")  # fmt: skip
        lacking = [run for run in self.runs if not run.window.step_count]
        if 0 < len(lacking) < len(self.runs):
            path = lacking[0].source.files[0].path
            raise UsageError(f"{path}: has no steps, other runs of its side have",
                             fix="give runs that all have steps, or none")  # fmt: skip

    @cached_property
    def steps(self) -> int:
        """Over all runs; a run without steps counts as one."""
        return sum(run.window.step_count or 1 for run in self.runs)

    @property
    def has_steps(self) -> bool:
        """Whether each run has steps."""
        return all(run.window.step_count for run in self.runs)

    @cached_property
    def durations(self) -> tuple[tuple[int, ...], ...] | None:
        """Of each step as the device saw it, a list a run; None where a run does not hold them."""
        if not all(run.step_rows for run in self.runs):
            return None
        return tuple(tuple(step.device_ns for step in run.step_rows or ()) for run in self.runs)

    @cached_property
    def window_ns(self) -> int:
        """Busy and idle time."""
        return per_step(sum(run.window.window_ns for run in self.runs), self.steps)

    @cached_property
    def busy_ns(self) -> int:
        """Per step, rounded half up."""
        return per_step(sum(run.time.busy_ns for run in self.runs), self.steps)

    @cached_property
    def idle_ns(self) -> int:
        """What is left of the window."""
        return self.window_ns - self.busy_ns

    @cached_property
    def idle_by_cause(self) -> dict[IdleCause, int]:
        """All causes; they add up to the idle time."""
        total: dict[IdleCause, int] = dict.fromkeys(IDLE_CAUSES, 0)
        for run in self.runs:
            for part in run.time.idle_by_cause:
                total[part.cause] += part.time_ns
        if not sum(total.values()):  # idle time that rounding made
            total["unknown"] = 1
        return apportioned(self.idle_ns, total)

    @cached_property
    def verdicts(self) -> dict[Verdict, int]:
        """All six; they add up to the busy time."""
        total = {verdict: sum(p.time_ns for run in self.runs for p in run.verdicts if p.verdict == verdict)
                 for verdict in VERDICTS}  # fmt: skip
        return apportioned(self.busy_ns, total)

    @cached_property
    def memory_at_roof_ns(self) -> int | None:
        """Of memory-bound time, what runs at the memory roof; None where a run does not tell."""
        parts = [p.at_roof_ns for run in self.runs for p in run.verdicts
                 if p.verdict == "memory_bound" and p.time_ns]  # fmt: skip
        if None in parts:
            return None
        return min(per_step(sum(ns or 0 for ns in parts), self.steps), self.verdicts["memory_bound"])

    @cached_property
    def reached_of_roofs(self) -> float | None:
        """What a roof could limit, by time; None where nothing is."""
        every = [row for run in self.runs for row in run.op_rows if row.efficiency is not None]
        rows = [row for row in every if row.verdict in ("compute_bound", "memory_bound")]
        time_ns = sum(row.attributed_ns for row in rows)
        return sum(row.attributed_ns * (row.efficiency or 0.0) for row in rows) / time_ns if time_ns else None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Those of one key as one, most time first."""
        groups: dict[RowKey, list[OpRow]] = defaultdict(list)
        for run in self.runs:
            for row in run.op_rows:
                groups[row_key(row)].append(row)
        merged = [_merged(key, rows) for key, rows in groups.items()]
        return tuple(sorted(merged, key=lambda row: (-row.time_ns, str(row.key))))

    @cached_property
    def times_ns(self) -> dict[RowKey, int]:
        """Of each row per step; they add up to the busy time."""
        return apportioned(self.busy_ns, {row.key: row.time_ns for row in self.rows})

    @cached_property
    def run_times_ns(self) -> tuple[dict[RowKey, float], ...]:
        """Of each row per step, a mapping a run."""
        runs = []
        for run in self.runs:
            times: dict[RowKey, float] = defaultdict(float)
            for row in run.op_rows:
                times[row_key(row)] += row.attributed_ns / (run.window.step_count or 1)
            runs.append(dict(times))
        return tuple(runs)

    def range_of_rows(self, rows: Sequence[Row]) -> float:
        """By how much the runs differ in what these rows take together, per step."""
        each = [sum(times.get(row.key, 0.0) for row in rows) for times in self.run_times_ns]
        return max(each) - min(each)

    def range_of_idle(self, cause: IdleCause) -> float:
        """By how much the runs differ in the idle time of this cause, per step."""
        each = [sum(p.time_ns for p in run.time.idle_by_cause if p.cause == cause)
                / (run.window.step_count or 1) for run in self.runs]  # fmt: skip
        return max(each) - min(each)

    @cached_property
    def has_modules(self) -> bool:
        """Whether any row says in which module it ran."""
        return any(row.row.module for row in self.rows)

    def shown(self, row: Row) -> SideRow:
        """As it stands in a comparison."""
        what = row.row
        return SideRow(
            name=what.name, input_dims=what.input_dims, input_types=what.input_types, phase=what.phase,
            module=what.module, calls=round(row.calls / self.steps, 6),
            attributed_ns=self.times_ns[row.key], verdict=what.verdict, limiter=what.limiter,
            efficiency=what.efficiency,
        )  # fmt: skip

    @property
    def info(self) -> SideInfo:
        """What it is made of."""
        first = self.runs[0]
        files = [file for run in self.runs for file in run.source.files]
        codes = dict.fromkeys(notice.code for run in self.runs for notice in run.source.warnings)
        return SideInfo(
            files=tuple(SideFile(file.path, file.rank, file.device_index) for file in files),
            runs=len(self.runs), step_count=self.steps if self.has_steps else None,
            step_durations_ns=self.durations, device=SideDevice(first.device.id, first.device.name),
            recording=first.recording, warnings=tuple(codes),
        )  # fmt: skip


def row_key(row: OpRow) -> RowKey:
    """What a row is told apart by."""
    return (
        row.name, row.input_dims, row.input_types, row.input_strides, row.concrete_inputs, row.phase,
        row.module, row.reason if row.input_dims is None else None,
    )  # fmt: skip


def _merged(key: RowKey, rows: Sequence[OpRow]) -> Row:
    largest = max(rows, key=lambda row: row.attributed_ns)
    flops = [row.flops for row in rows]
    names = dict.fromkeys(name.name for row in rows for name in row.kernel_names)
    return Row(
        key, largest, sum(row.calls for row in rows), sum(row.attributed_ns for row in rows),
        None if None in flops else sum(each or 0 for each in flops), tuple(names),
    )  # fmt: skip
