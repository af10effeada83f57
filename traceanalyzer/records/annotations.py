"""What is written into the rows of a trace: the cost and verdict of each record's call, and the marks.

One `Annotations` a device of a process; columns have one entry a record.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.records.notice import Notice
from traceanalyzer.records.suggestion import Suggestion
from traceanalyzer.records.trace import Bools, Ids, Ints, Pieces
from traceanalyzer.records.vocabulary import Limiter, Verdict


class CallCost(msgspec.Struct, frozen=True):
    """One call of an op row; None where it is not known."""

    verdict: Verdict
    limiter: Limiter | None
    flops: int | None
    read_bytes: int | None
    write_bytes: int | None
    roof_ns: float | None


class Costs(msgspec.Struct, frozen=True, eq=False):
    """The costs of one device's records."""

    calls: Sequence[CallCost]  # one an op row; copies one for each direction and size
    call: Ids  # index in `calls`
    carries: Bools  # the call's cost is this record's: of a call's records its longest
    run: Ids  # equal for the records of one call
    call_ns: Ints  # of the record's call: the union of its records
    outer: Bools  # of a CPU's frames: those whose work is that of the operators which they call


class Mark(msgspec.Struct, frozen=True):
    """A suggestion, and the record that it begins with."""

    record: int
    suggestion: Suggestion


class Annotations(msgspec.Struct, frozen=True, eq=False):
    """One device of one process; `label` tells it from the others of the file."""

    label: str
    on_cpu: bool  # the rows are those of operators
    file_row: Ids  # see Kernels.file_row
    costs: Costs
    pieces: Pieces  # when each record runs
    marks: Sequence[Mark]
    warnings: Sequence[Notice]  # of the trace

    @property
    def begins_ns(self) -> Ints:
        """The start of each record's first piece."""
        begins = np.full(len(self.file_row), np.iinfo(np.int64).max)
        np.minimum.at(begins, self.pieces.record, self.pieces.start_ns)
        return begins
