"""Several devices or processes of one job: the one that a report shows, and an entry for each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from traceanalyzer.records.analysis import Analysis
from traceanalyzer.records.notice import Notice


class RankEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One device of one process, in a report of several; totals over its own window."""

    rank: int | None
    device_index: int
    device: str
    file: str
    window_ns: int
    busy_ns: int
    memory_bound_share_of_busy: float
    exposed_communication_ns: int


class Job(Analysis, frozen=True, kw_only=True, dict=True):
    """The Analysis that a report of several devices shows, and an entry for each of them.

    Its JSON is that Analysis' object with `ranks` added; None where there is but one device. Nothing is
    summed across devices.
    """

    ranks: tuple[RankEntry, ...] | None = None

    @classmethod
    def of(
        cls,
        chosen: Analysis,
        ranks: tuple[RankEntry, ...] | None = None,
        notices: Sequence[Notice] = (),
    ) -> Job:
        """`chosen` as it is, among these; `notices` are of the whole job."""
        fields = {name: getattr(chosen, name) for name in Analysis.__struct_fields__}
        if notices:
            warnings = (*chosen.source.warnings, *notices)
            fields["source"] = msgspec.structs.replace(chosen.source, warnings=warnings)
        return cls(**fields, ranks=ranks)


def ranks_of(analysis: Analysis) -> tuple[RankEntry, ...]:
    """The entries of all devices, where there are several."""
    return (analysis.ranks or ()) if isinstance(analysis, Job) else ()
