"""Attributed time by what is done: records of one row, kernel name and phase are told apart no longer."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from traceanalyzer.records.trace import Codes, Ids, Ints, Trace, places
from traceanalyzer.roofline.attribution import NOTHING, Attributed, joined
from traceanalyzer.roofline.invocations import combine


class WorkKinds(msgspec.Struct, frozen=True, eq=False):
    """Which records do the same work."""

    number: Ids  # of each record
    record: Ids  # of each kind: one of its records, which stands for all


def work_kinds(trace: Trace, row: Ids) -> WorkKinds:
    """`row`: of each record its place in the table of rows."""
    distinct, number = places(combine(row, trace.kernels.name, phase_of_records(trace) + 1))
    record = np.empty(len(distinct), np.int32)
    record[number] = np.arange(len(number), dtype=np.int32)
    return WorkKinds(number.astype(np.int32), record)


def phase_of_records(trace: Trace) -> Codes:
    """A row of PHASES; -1 for none."""
    return np.append(trace.ops.phase, np.int8(-1))[trace.kernels.op]  # -1 reads the last entry


def by_record_and_kind(
    parts: Iterable[Attributed], kinds: WorkKinds, n_records: int
) -> tuple[Ints, Attributed]:
    """Of each record its time; and between cuts that of each kind of work, under the record standing for it.

    The second has an entry for each kind between two cuts, however many records do that work there.
    """
    total = np.zeros(n_records, np.int64)
    summed = [NOTHING]
    for part in parts:
        np.add.at(total, part.record, part.time_ns)
        summed.append(_by_kind(part, kinds))
    return total, _by_kind(joined(summed), kinds)


def _by_kind(part: Attributed, kinds: WorkKinds) -> Attributed:
    """One entry for each kind between two cuts."""
    width = max(len(kinds.record), 1)
    opens = int(part.step.min()) if len(part.step) else 0
    cells, at = places((part.step - opens) * np.int64(width) + kinds.number[part.record])
    time_ns = np.zeros(len(cells), np.int64)
    np.add.at(time_ns, at, part.time_ns)
    step, number = np.divmod(cells, width)
    return Attributed(kinds.record[number], (step + opens).astype(np.int32), time_ns)
