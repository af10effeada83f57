"""What a job keeps of one device of one process: its work, when it took part in collectives, and of the few
that may turn out to be the one on top their Analysis."""

from __future__ import annotations

import msgspec

from traceanalyzer.records.analysis import Analysis
from traceanalyzer.records.collectives import NO_COLLECTIVES, Collectives
from traceanalyzer.records.rank_work import RankWork


class RankActivity(msgspec.Struct, frozen=True, eq=False):
    """What ranks are compared by beside their work; small, and passed between processes.

    Times are ns of the trace's own clock; `base_ns` is added to compare ranks.
    """

    rank: int | None
    device_index: int
    path: str
    base_ns: int
    window_start_ns: int
    window_end_ns: int
    world_size: int | None = None
    collectives: Collectives = NO_COLLECTIVES


class RankResult(msgspec.Struct, frozen=True, eq=False):
    """One device of one process, analyzed; its columns are let go of."""

    work: RankWork
    activity: RankActivity
    analysis: Analysis | None = None  # with suggestions, of a device that led those before it
