"""Whether several files of a side are runs of one program, as they are taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traceanalyzer.comparison.same_work import same_work
from traceanalyzer.comparison.sides import Side
from traceanalyzer.records import Analysis, Notice, OpRow
from traceanalyzer.records.comparison import WorkCode
from traceanalyzer.records.units import percent

OTHER_PROGRAM = "other_program"
_SHARED = 0.95  # of each run's time, in operators that the other has too: runs of one program have nearly all
_TELLING: tuple[WorkCode, ...] = ("device", "shapes", "batch", "precision")


def other_program(runs: Sequence[Analysis]) -> Notice | None:
    """What shows that a run is of another program than the first one; None where nothing does."""
    for run in runs[1:]:
        why = _unlike(runs[0], run)
        if why:
            files = " and ".join(each.source.files[0].path for each in (runs[0], run))
            return Notice(OTHER_PROGRAM, f"{files} are not runs of one program ({why})")
    return None


def _unlike(first: Analysis, run: Analysis) -> str:
    work = same_work(Side((first,)), Side((run,)))
    reason = next((reason for reason in work.reasons if reason.code in _TELLING), None)
    if reason is not None:
        return reason.message
    least = min(_shared(first, run), _shared(run, first))
    return f"{percent(1 - least)} of the time of one is in operators that the other has not" * (
        least < _SHARED
    )


def _shared(run: Analysis, other: Analysis) -> float:
    """Of its time, what is in operators that the other has too, on tensors of whatever sizes."""
    others = {_operator(row) for row in other.op_rows}
    time_ns = sum(row.attributed_ns for row in run.op_rows)
    shared_ns = sum(row.attributed_ns for row in run.op_rows if _operator(row) in others)
    return shared_ns / time_ns if time_ns else 1.0


def _operator(row: OpRow) -> tuple[Any, ...]:
    return row.name, row.input_types, row.phase
