"""Several devices or processes: one Analysis each, one of them chosen, nothing summed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from traceanalyzer.ranks.job_info import Compared
from traceanalyzer.ranks.leading import numbers
from traceanalyzer.records import Analysis, Job, Notice, RankEntry, SourceFile
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.rank_result import RankResult
from traceanalyzer.trace.linking.processes import process_named
from traceanalyzer.trace.reading.metadata import named_rank

_RANK = re.compile(r" \(rank (\d+)(?:, GPU \d+)?\)$")
_LISTED = 16  # devices that an error names


def job_of(
    results: Sequence[RankResult],
    rank: int | None,
    gpu: int | None,
    notices: Sequence[Notice] = (),
    ranks: Compared | None = None,
) -> Job:
    """The analysis of (`rank`, `gpu`), with an entry for every one of several.

    By default it is the one that the others wait for, else the busiest. `notices`: of files that could not be
    read; `ranks`: what several wait for, where that could be told.
    """
    analyses = [result.analysis for result in results]
    wanted = [
        number
        for number, analysis in enumerate(analyses)
        if (rank is None or rank in _numbers(_file(analysis)))
        and (gpu is None or _file(analysis).device_index == gpu)
    ]
    if not wanted:
        raise _not_there(analyses, rank, gpu, notices)
    late, info = (ranks.late, ranks.info) if ranks else (None, None)
    if len(results) == 1:
        return Job.of(analyses[0], None, notices, info)
    chosen = max(wanted, key=lambda at: (at == late, analyses[at].time.busy_ns, -at))
    return Job.of(analyses[chosen], tuple(map(entry, analyses)), notices, info)


def _not_there(
    analyses: Sequence[Analysis], rank: int | None, gpu: int | None, notices: Sequence[Notice]
) -> UsageError:
    """Says of what was asked for what there is, and of a rank whose file failed why."""
    options = [name for name, value in (("--rank", rank), ("--gpu", gpu)) if value is not None]
    devices = [_named(options, each, _file(each).device_index) for each in analyses]
    there = list(dict.fromkeys(devices))
    listed = ", ".join(there[:_LISTED]) + (f" and {len(there) - _LISTED} more" if there[_LISTED:] else "")
    failed = [n.message for n in notices if rank is not None and _rank_of_failed(n) == rank]
    why = "".join(
        f"; its file could not be read: {message.partition('. Fix: ')[0]}" for message in failed[:1]
    )
    return UsageError(
        f"no work of {_named(options, rank, gpu)} in the input (there is: {listed}{why})",
        fix=f"give {' and '.join(options)} as listed, or leave {'them' if len(options) > 1 else 'it'} out",
    )


def _numbers(file: SourceFile) -> tuple[int, ...]:
    return numbers(file.rank, file.path)


def _named(options: Sequence[str], of: Analysis | int | None, gpu: int | None) -> str:
    """`rank 2`, `GPU 3` or `rank 2 on GPU 3`: by what was asked for, and no more."""
    rank = _file(of).rank if isinstance(of, Analysis) else of
    label = process_named(_file(of).path) if isinstance(of, Analysis) else None
    unknown = f"process {label}" if label else "unknown rank"
    process = unknown if rank is None else f"rank {rank}"
    return " on ".join({"--rank": process, "--gpu": f"GPU {gpu}"}[option] for option in options)


def _rank_of_failed(notice: Notice) -> int | None:
    """By the name of the file that the notice begins with, or the rank behind it."""
    if notice.code != "rank_failed":
        return None
    where = notice.message.partition(": ")[0]
    written = _RANK.search(where)
    return int(written[1]) if written else named_rank(where)


def _file(analysis: Analysis) -> SourceFile:
    return analysis.source.files[0]


def entry(analysis: Analysis) -> RankEntry:
    """The line of one device of one process."""
    file = analysis.source.files[0]
    exposed = next(p.time_ns for p in analysis.verdicts if p.verdict == "communication")
    return RankEntry(
        rank=file.rank, device_index=file.device_index or 0, device=analysis.device.name, file=file.path,
        window_ns=analysis.window.window_ns, busy_ns=analysis.time.busy_ns,
        memory_bound_share_of_busy=analysis.memory_bound.share_of_busy, exposed_communication_ns=exposed,
    )  # fmt: skip
