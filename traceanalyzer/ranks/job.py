"""Several devices or processes: one Analysis each, one of them chosen, nothing summed."""

from __future__ import annotations

from collections.abc import Sequence

from traceanalyzer.records import Analysis, Job, Notice, RankEntry, SourceFile
from traceanalyzer.records.errors import UsageError


def job_of(
    analyses: Sequence[Analysis], rank: int | None, gpu: int | None, notices: Sequence[Notice] = ()
) -> Job:
    """The analysis of (`rank`, `gpu`), by default the busiest, with an entry for every one of several.

    `notices`: of files that could not be read.
    """
    wanted = [
        one for one in analyses
        if (rank is None or _file(one).rank == rank) and (gpu is None or _file(one).device_index == gpu)
    ]  # fmt: skip
    if not wanted:
        there = ", ".join(f"rank {_file(a).rank} GPU {_file(a).device_index}" for a in analyses)
        raise UsageError(f"no work of rank {rank}, GPU {gpu} in the input (there is: {there})",
                         fix="give --rank and --gpu as listed, or leave them out")  # fmt: skip
    chosen = max(wanted, key=lambda one: one.time.busy_ns)
    return Job.of(chosen, tuple(map(entry, analyses)) if len(analyses) > 1 else None, notices)


def _file(analysis: Analysis) -> SourceFile:
    return analysis.source.files[0]


def entry(one: Analysis) -> RankEntry:
    """The line of one device of one process."""
    file = one.source.files[0]
    exposed = next(p.time_ns for p in one.verdicts if p.verdict == "communication")
    return RankEntry(
        rank=file.rank, device_index=file.device_index or 0, device=one.device.name, file=file.path,
        window_ns=one.window.window_ns, busy_ns=one.time.busy_ns,
        memory_bound_share_of_busy=one.memory_bound.share_of_busy, exposed_communication_ns=exposed,
    )  # fmt: skip
