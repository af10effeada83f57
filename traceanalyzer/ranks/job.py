"""Several devices or processes: the one that is shown, and an entry for each; nothing summed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from traceanalyzer.ranks.job_info import Compared
from traceanalyzer.ranks.leading import numbers
from traceanalyzer.records import Analysis, Job, Notice, RankEntry
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.rank_result import RankResult
from traceanalyzer.trace.linking.processes import process_named
from traceanalyzer.trace.reading.metadata import named_rank

_RANK = re.compile(r" \(rank (\d+)(?:, GPU \d+)?\)$")
_LISTED = 16  # devices that an error names


def by_choice(
    results: Sequence[RankResult],
    rank: int | None,
    gpu: int | None,
    notices: Sequence[Notice] = (),
    ranks: Compared | None = None,
) -> list[int]:
    """Which results may be shown of (`rank`, `gpu`), the one that is to be first.

    By default it is the one that the others wait for, else the busiest. `notices`: of files that could not be
    read; `ranks`: what several wait for, where that could be told.
    """
    entries = [result.work.entry for result in results]
    wanted = [
        number
        for number, entry in enumerate(entries)
        if (rank is None or rank in numbers(entry.rank, entry.file))
        and (gpu is None or entry.device_index == gpu)
    ]
    if not wanted:
        raise _not_there(entries, rank, gpu, notices)
    late = ranks.late if ranks else None
    return sorted(wanted, key=lambda at: (at != late, -entries[at].busy_ns, at))


def job_of(
    results: Sequence[RankResult], shown: Analysis, notices: Sequence[Notice], ranks: Compared | None
) -> Job:
    """The Analysis that is `shown`, with an entry for every device of several."""
    entries = tuple(result.work.entry for result in results) if len(results) > 1 else None
    return Job.of(shown, entries, notices, ranks.info if ranks else None)


def _not_there(
    entries: Sequence[RankEntry], rank: int | None, gpu: int | None, notices: Sequence[Notice]
) -> UsageError:
    """Says of what was asked for what there is, and of a rank whose file failed why."""
    if rank is not None and not any(each.rank is not None or process_named(each.file) for each in entries):
        fix = "leave it out; what names a rank is a file's name, as job.rank3.json, or its distributedInfo"
        raise UsageError(f"no work of rank {rank} in the input, of which no file names a rank", fix=fix)
    options = [name for name, value in (("--rank", rank), ("--gpu", gpu)) if value is not None]
    devices = [_named(options, each, each.device_index) for each in entries]
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


def _named(options: Sequence[str], of: RankEntry | int | None, gpu: int | None) -> str:
    """`rank 2`, `GPU 3` or `rank 2 on GPU 3`: by what was asked for, and no more."""
    rank = of.rank if isinstance(of, RankEntry) else of
    label = process_named(of.file) if isinstance(of, RankEntry) else None
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
