"""The ranks of a job as text: who waited how long, for whom, and in which collectives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from traceanalyzer.records import (
    Analysis,
    CollectiveTotal,
    JobInfo,
    RankEntry,
    RankWait,
    job_info_of,
    ranks_of,
)
from traceanalyzer.records.units import duration, percent, si
from traceanalyzer.report.sanitize import ABSENT, cut, visible

_NAME = 80  # characters of a group's name
_COLLECTIVES = 20  # lines
_LAST = 3  # ranks that a collective's line names


class RankLine(msgspec.Struct, frozen=True):
    """One device of one process; times over its window."""

    rank: str
    device: str
    file: str
    window: str
    busy: str
    memory_bound: str  # of busy time
    exposed: str  # communication that no compute hides
    waited: str
    waited_for: str
    shown: bool  # the report is about it
    entry: RankEntry
    wait: RankWait | None

    @property
    def name(self) -> str:
        """`2`, or the file's name where no rank is known."""
        return self.rank if self.entry.rank is not None else self.file


class CollectiveLine(msgspec.Struct, frozen=True):
    """One collective in one group."""

    name: str
    group: str
    calls: str
    waited: str  # by all its ranks
    last: str  # "rank 2: 30, rank 0: 1"
    bytes: str
    rate: str  # over the busiest link
    of_link: str


def rank_lines(analysis: Analysis) -> tuple[RankLine, ...]:
    """One a device, in the order of the report's `ranks`; nothing where there is but one."""
    entries, info = ranks_of(analysis), job_info_of(analysis)
    waits: Sequence[RankWait | None] = info.ranks if info else [None] * len(entries)
    file = analysis.source.files[0]
    shown = (file.path, file.rank, file.device_index or 0)
    return tuple(
        _rank_line(entry, wait, shown=(entry.file, entry.rank, entry.device_index) == shown)
        for entry, wait in zip(entries, waits, strict=False)
    )


def _rank_line(entry: RankEntry, wait: RankWait | None, *, shown: bool) -> RankLine:
    return RankLine(
        rank=ABSENT if entry.rank is None else str(entry.rank),
        device=f"{visible(entry.device)} #{entry.device_index}",
        file=visible(entry.file.replace("\\", "/").rsplit("/", 1)[-1]), window=duration(entry.window_ns),
        busy=duration(entry.busy_ns), memory_bound=percent(entry.memory_bound_share_of_busy),
        exposed=duration(entry.exposed_communication_ns),
        waited=_time(wait.waited_ns if wait else None),
        waited_for=_time(wait.waited_for_ns if wait else None), shown=shown, entry=entry, wait=wait,
    )  # fmt: skip


def _time(ns: int | None) -> str:
    return ABSENT if ns is None else duration(ns)


def extremes(lines: Sequence[RankLine], count: int) -> tuple[RankLine, ...]:
    """All of them, or of many the shown one and those that waited least and longest, in their order."""
    if len(lines) <= count:
        return tuple(lines)
    order = sorted(
        range(len(lines)),
        key=lambda at: (wait.waited_ns or 0) if (wait := lines[at].wait) else lines[at].entry.busy_ns,
    )
    shown = [at for at, line in enumerate(lines) if line.shown][:1]
    others = [at for at in order if at not in shown]
    half = (count - len(shown)) // 2
    kept = {*shown, *others[:half], *others[len(others) - half :]}
    return tuple(lines[at] for at in sorted(kept))


def collective_lines(analysis: Analysis) -> tuple[CollectiveLine, ...]:
    """Those that are waited in longest first."""
    info = job_info_of(analysis)
    return tuple(_collective_line(each) for each in info.collectives[:_COLLECTIVES]) if info else ()


def _collective_line(total: CollectiveTotal) -> CollectiveLine:
    last = [f"{'?' if e.rank is None else f'rank {e.rank}'}: {e.calls:,}" for e in total.last[:_LAST]]
    rate, share = total.bus_bytes_per_s, total.link_share
    return CollectiveLine(
        name=cut(visible(total.name), _NAME), group=cut(visible(total.group), _NAME),
        calls=f"{total.calls:,}", waited=duration(total.waited_ns),
        last=", ".join(last) + (", ..." if total.last[_LAST:] else ""),
        bytes=ABSENT if total.bytes is None else si(total.bytes, "B"),
        rate=ABSENT if rate is None else si(rate, "B/s"),
        of_link=ABSENT if share is None else percent(share, 0),
    )  # fmt: skip


def job_sentences(analysis: Analysis) -> Iterator[str]:
    """Which rank the others wait for, why, and what is not known of it."""
    info = job_info_of(analysis)
    if info is None:
        return
    reason = visible(info.reason)
    if reason:
        yield f"{reason[0].upper()}{reason[1:]}."
    yield from _gaps(info)


def _gaps(info: JobInfo) -> Iterator[str]:
    if info.contradictory_calls:
        yield (
            f"{info.contradictory_calls:,} calls of collectives stand at one place in their group with other "
            "names or sizes and are left out."
        )
    if info.unmatched_calls:
        yield f"{info.unmatched_calls:,} calls of collectives have no partner in the other ranks' recordings."
    unknown = sum(each.waited_ns is None for each in info.ranks)
    if unknown and unknown < len(info.ranks):
        yield f"The waits of {unknown:,} ranks are not known: no collective ties their clocks to the others'."
    moved = [each for each in info.ranks if each.clock_offset_ns]
    if moved:
        most = max(abs(each.clock_offset_ns or 0) for each in moved)
        by = f"by up to {duration(most)}"
        yield f"The clocks of {len(moved):,} ranks were set by the ends of collectives, {by}."


def place_of(analysis: Analysis, where: str) -> str:
    """`rank 2, which the other 3 wait for`: what of a job is shown, and why it is."""
    entries, info = ranks_of(analysis), job_info_of(analysis)
    count = len(entries)
    busiest = analysis.time.busy_ns >= max(entry.busy_ns for entry in entries)
    among = f"{where}, {'the busiest' if busiest else 'one'} of {count}"
    if info is None or not info.collectives:
        return among
    if info.straggler_rank is None:
        return f"{among} (none stands out as waited for)"
    if info.straggler_rank == analysis.source.files[0].rank:
        others = f"other {count - 1} wait" if count > 2 else "other one waits"
        return f"{where}, which the {others} for"
    return f"{where}, one of {count} (the others wait for rank {info.straggler_rank})"


def has_all_ranks(analysis: Analysis) -> bool:
    """Whether the report was made from every rank of the job, or of all that it is known to have."""
    info = job_info_of(analysis)
    return info is not None and info.rank_count >= (info.world_size or 0)
