"""What ranks are compared by: work and idle time of one device of one process, without its columns."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records.job import RankEntry
from traceanalyzer.records.vocabulary import IdleCause, OperatorClass

Counts = npt.NDArray[np.int64]


class WorkForm(msgspec.Struct, frozen=True, order=True):
    """What calls have in common that are compared across ranks; ranks that do the same work have the same."""

    name: str
    phase: str  # "": not known
    shape: str  # the input dims as written; "": not recorded
    operator_class: OperatorClass

    @property
    def is_compute(self) -> bool:
        """Whether it is work of the rank's own, named as on the other ranks."""
        return self.operator_class != "communication" and not self.name.startswith("(sum of ")


class IdleWork(msgspec.Struct, frozen=True):
    """Idle time of one cause."""

    cause: IdleCause
    time_ns: int
    main_name: str | None  # as of IdlePart


class RankWork(msgspec.Struct, frozen=True, eq=False):
    """One device over its window: totals, and for each form its calls and times. A few kB."""

    entry: RankEntry
    step_count: int | None
    hidden_communication_ns: int
    idle: tuple[IdleWork, ...]
    forms: tuple[WorkForm, ...]  # sorted
    calls: Counts  # of each form
    time_ns: Counts
    attributed_ns: Counts

    @property
    def communication_ns(self) -> int:
        """Time of its collectives, alone and beside other work."""
        return self.entry.exposed_communication_ns + self.hidden_communication_ns

    @property
    def compute_ns(self) -> int:
        """Busy time without collectives that run alone."""
        return self.entry.busy_ns - self.entry.exposed_communication_ns
