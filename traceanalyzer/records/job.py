"""Several devices or processes of one job: the one that a report shows, and an entry for each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from traceanalyzer.records.analysis import Analysis
from traceanalyzer.records.file_result import FailedFile
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


class RankWait(msgspec.Struct, frozen=True, kw_only=True):
    """How long one device waited in collectives, over its window; None where its clock is not known."""

    rank: int | None
    device_index: int
    waited_ns: int | None  # from its arrival to the last rank's, over all collectives
    waited_for_ns: int | None  # from the last but one's arrival to its own, where it came last
    clock_offset_ns: int | None  # added to its times, so that collectives end together; None: not known


class LastCount(msgspec.Struct, frozen=True):
    """How often a rank came last."""

    rank: int | None
    calls: int


class CollectiveTotal(msgspec.Struct, frozen=True, kw_only=True):
    """All calls of one collective in one group that could be matched across its ranks."""

    name: str
    group: str
    calls: int
    waited_ns: int  # by all its ranks together
    last: tuple[LastCount, ...]
    bytes: int | None  # of all messages
    bus_bytes_per_s: float | None  # over the busiest link, from the last arrival to the end
    link_share: float | None = None  # of the link that was given


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the ranks of a job wait for; nothing else is summed across devices."""

    rank_count: int  # devices that were analyzed
    world_size: int | None  # ranks of the whole job, as recorded
    straggler_rank: int | None  # that the others wait for; None: none stands out, or none could be told
    reason: str
    ranks: tuple[RankWait, ...]  # as in `Job.ranks`
    collectives: tuple[CollectiveTotal, ...]
    failed: tuple[FailedFile, ...] = ()
    contradictory_calls: int = 0  # of one place in their group, with other names or sizes
    unmatched_calls: int = 0  # without a partner, or of ranks that are not recorded
    link_bytes_per_s: float | None = None


class Job(Analysis, frozen=True, kw_only=True, dict=True):
    """The Analysis that a report of several devices shows, and an entry for each of them.

    Its JSON is that Analysis' object with `ranks` and `job` added; None where there is but one device.
    """

    ranks: tuple[RankEntry, ...] | None = None
    job: JobInfo | None = None

    @classmethod
    def of(
        cls,
        chosen: Analysis,
        ranks: tuple[RankEntry, ...] | None = None,
        notices: Sequence[Notice] = (),
        job: JobInfo | None = None,
    ) -> Job:
        """`chosen` as it is, among these; `notices` are of the whole job."""
        fields = {name: getattr(chosen, name) for name in Analysis.__struct_fields__}
        if notices:
            warnings = (*chosen.source.warnings, *notices)
            fields["source"] = msgspec.structs.replace(chosen.source, warnings=warnings)
        return cls(**fields, ranks=ranks, job=job)


def ranks_of(analysis: Analysis) -> tuple[RankEntry, ...]:
    """The entries of all devices, where there are several."""
    return (analysis.ranks or ()) if isinstance(analysis, Job) else ()


def job_info_of(analysis: Analysis) -> JobInfo | None:
    """What the ranks wait for, where there are several."""
    return analysis.job if isinstance(analysis, Job) else None
