"""`rank_work`: what a judged device is compared by with the other ranks of its job."""

from __future__ import annotations

import numpy as np

from traceanalyzer.assembly.totals import share
from traceanalyzer.records import OpRow, RankEntry
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.rank_work import IdleWork, RankWork, WorkForm


def rank_work(judged: Judged) -> RankWork:
    """Its rows by name, phase and shape, its idle time by cause, and its line in the report of the job."""
    table: dict[WorkForm, list[int]] = {}
    for row in judged.rows:
        sums = table.setdefault(_form(row), [0, 0, 0])
        for column, value in enumerate((row.calls, row.time_ns, row.attributed_ns)):
            sums[column] += value
    forms = tuple(sorted(table))
    columns = np.array([table[form] for form in forms], np.int64).reshape(-1, 3).T
    return RankWork(
        _entry(judged), len(judged.window.steps) or None, judged.time.hidden_communication_ns,
        tuple(IdleWork(part.cause, part.time_ns, part.main_name) for part in judged.time.idle_by_cause),
        forms, *(np.ascontiguousarray(column) for column in columns),
    )  # fmt: skip


def _form(row: OpRow) -> WorkForm:
    return WorkForm(
        row.name, row.phase or "", str(row.input_dims) if row.input_dims else "", row.operator_class
    )


def _entry(judged: Judged) -> RankEntry:
    trace, busy_ns = judged.priced.trace, judged.time.busy_ns
    return RankEntry(
        rank=trace.rank, device_index=judged.device_index, device=judged.device.name, file=trace.path,
        window_ns=judged.window_ns, busy_ns=busy_ns,
        memory_bound_share_of_busy=share(judged.verdict_ns("memory_bound"), busy_ns),
        exposed_communication_ns=judged.verdict_ns("communication"),
    )  # fmt: skip
