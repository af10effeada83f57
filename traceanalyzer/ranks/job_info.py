"""`job_info`: what the ranks of a job wait for, from their activities and work."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from traceanalyzer.ranks.calls import groups_of
from traceanalyzer.ranks.clocks import Clock, clocks
from traceanalyzer.ranks.matching import matched
from traceanalyzer.ranks.stages import stages_of
from traceanalyzer.ranks.straggler import Evidence, verdict
from traceanalyzer.ranks.waits import Total, Waits, arrivals_of, totals
from traceanalyzer.records.file_result import FailedFile
from traceanalyzer.records.job import CollectiveTotal, JobInfo, LastCount, RankWait
from traceanalyzer.records.rank_result import RankResult


class Compared(msgspec.Struct, frozen=True):
    """The devices of a job beside one another."""

    info: JobInfo
    late: int | None  # the device that the others wait for


def compared(
    results: Sequence[RankResult], failed: Sequence[FailedFile] = (), link_bytes_per_s: float | None = None
) -> Compared:
    """Match their collectives, set their clocks, and add up who waited for whom."""
    activities = [result.activity for result in results]
    work = [result.work for result in results]
    grouped = groups_of(activities)
    matches = matched(grouped.groups)
    stages = stages_of(matches.matches, work, grouped.unpaired)
    on_clock = clocks(matches.matches, len(results))
    arrivals = arrivals_of(matches.matches, on_clock, stages)
    world, names = _world_size(results), [_name(result) for result in results]
    late = verdict(Evidence(work, names, arrivals, stages, _missing(results, world)))
    ranks = [activity.rank for activity in activities]
    info = JobInfo(
        rank_count=len(results), world_size=world, reason=late.reason,
        straggler_rank=None if late.device is None else ranks[late.device],
        ranks=_ranks(results, Waits.of(arrivals), on_clock),
        collectives=tuple(_total(total, ranks, link_bytes_per_s) for total in totals(arrivals)),
        failed=tuple(failed), contradictory_calls=matches.contradictory,
        unmatched_calls=matches.alone + grouped.unknown, link_bytes_per_s=link_bytes_per_s,
    )  # fmt: skip
    return Compared(info, late.device)


def _world_size(results: Sequence[RankResult]) -> int | None:
    return max((r.activity.world_size for r in results if r.activity.world_size), default=None)


def _missing(results: Sequence[RankResult], world: int | None) -> str:
    ranks = {r.activity.rank for r in results if r.activity.rank is not None}
    if world is None or not ranks or len(ranks) >= world:
        return ""
    return f"; only {len(ranks)} of {world} ranks are given: one of the others may be later still"


def _name(result: RankResult) -> str:
    activity = result.activity
    if activity.rank is not None:
        return f"rank {activity.rank}"
    return f"GPU {activity.device_index} of {activity.path.replace(chr(92), '/').rsplit('/', 1)[-1]}"


def _ranks(
    results: Sequence[RankResult], waits: Waits, on_clock: Sequence[Clock | None]
) -> tuple[RankWait, ...]:
    return tuple(
        RankWait(
            rank=result.activity.rank, device_index=result.activity.device_index,
            waited_ns=waits.waited_ns.get(device), waited_for_ns=waits.waited_for_ns.get(device),
            clock_offset_ns=_offset(on_clock[device]),
        )
        for device, result in enumerate(results)
    )  # fmt: skip


def _offset(clock: Clock | None) -> int | None:
    return None if clock is None else clock.offset_ns


def _total(total: Total, ranks: Sequence[int | None], link: float | None) -> CollectiveTotal:
    rate = total.bus_bytes_per_s
    return CollectiveTotal(
        name=total.name, group=total.group, calls=total.calls, waited_ns=total.waited_ns,
        last=tuple(LastCount(ranks[device], calls) for device, calls in total.last),
        bytes=total.bytes, bus_bytes_per_s=rate,
        link_share=rate / link if rate is not None and link else None,
    )  # fmt: skip
