"""Judged: a priced trace compared with its device's roofs; rows with verdicts, attributed times, window."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from traceanalyzer.records.analysis import OpRow
from traceanalyzer.records.device import Device
from traceanalyzer.records.notice import Notice
from traceanalyzer.records.priced import Priced
from traceanalyzer.records.recording import FunctionRate
from traceanalyzer.records.timeline import StepTimeline
from traceanalyzer.records.times import StepKind, StepTime, TimeInfo
from traceanalyzer.records.trace import Bools, Codes, Ids, Ints, Window
from traceanalyzer.records.vocabulary import IdleCause, Verdict


class Thresholds(msgspec.Struct, frozen=True):
    """The limits behind the verdicts. The defaults are the method; the report shows every one."""

    efficiency: float = 0.6  # below it a row is inefficient, or latency-bound
    latency_floors: float = 3.0  # latency-bound: median call of at most so many launch floors
    latency_multiprocessors: float = 0.5  # latency-bound: fewer blocks than this share of multiprocessors
    wave_floors: float = 10.0  # latency-bound: less than a wave and at most so many launch floors
    at_roof: float = 0.6  # of a roof: from it on a row runs at that roof; hardware counters: docs/hardware.md
    balanced: float = 0.1  # compute and memory time within this share of the larger
    bytes_only: float = 0.6  # FLOPs unknown, but bytes alone explain this share of the time
    floor_bytes: float = 65536.0  # the launch floor is taken from kernels of at most so many bytes,
    floor_kernels: float = 50.0  # if there are at least so many,
    floor_percentile: float = 10.0  # as this percentile of their durations,
    floor_min_ns: float = 1000.0  # not below
    floor_max_ns: float = 5000.0  # and not above; else it is
    floor_default_ns: float = 2000.0  # on a GPU and
    floor_cpu_ns: float = 5000.0  # on a CPU that was not calibrated

    def as_dict(self) -> dict[str, float]:
        """Name -> value, in this order."""
        return msgspec.structs.asdict(self)


class CpuFigures(msgspec.Struct, frozen=True):
    """What was measured of a CPU beside its roofs; of a GPU nothing."""

    rates: tuple[FunctionRate, ...] = ()
    write_allocate: bool = False  # it is known to read lines before it overwrites them
    cache_bytes: int | None = None  # all of its last-level caches together


class RecordTimes(msgspec.Struct, frozen=True, eq=False):
    """Each record of the trace against the window; one entry a record."""

    row: Ids  # index in Judged.table
    duration_ns: Ints  # of its part inside the window
    inside: Bools  # it counts: some of it lies inside the window
    attributed_ns: Ints  # its share of busy time; adds up to it exactly


class IdleTimes(msgspec.Struct, frozen=True, eq=False):
    """Every idle stretch of the window by start; together they are its idle time."""

    start_ns: Ints
    end_ns: Ints
    cause: Codes  # row in IDLE_CAUSES
    name: Ids  # row in Trace.names: what the host did; -1: not known


class Judged(msgspec.Struct, frozen=True, eq=False):
    """One device's records over the window, compared with the device's roofs."""

    priced: Priced
    device: Device
    device_index: int
    window: Window
    thresholds: Thresholds
    launch_floor_ns: int
    time: TimeInfo
    idle: IdleTimes
    steps: tuple[StepTime, ...]  # all that are analyzed, also where the window is one of them; () for none
    table: Sequence[OpRow]  # one a row of `times.row`, also those without a call in the window
    rows: Sequence[OpRow]  # those with calls
    times: RecordTimes
    kinds: tuple[StepKind, ...]  # of `steps`; () where all are alike
    timeline: tuple[StepTimeline, ...]  # of the window
    cpu: CpuFigures  # that the rows were judged with, to judge a part of the window alike
    clipped_calls: int  # calls that the window's ends cut: left out of efficiency and verdict
    notices: tuple[Notice, ...] = ()

    @property
    def window_ns(self) -> int:
        """Busy and idle time."""
        return self.time.busy_ns + self.time.idle_ns

    @property
    def step_count(self) -> int:
        """What totals are divided by: the steps of the window, or 1 where the trace has none."""
        return max(1, len(self.window.steps))

    @property
    def has_steps(self) -> bool:
        """Whether the trace says where a step begins and ends."""
        return bool(self.window.steps)

    def verdict_ns(self, verdict: Verdict) -> int:
        """Busy time of all rows with this verdict."""
        return sum(row.attributed_ns for row in self.rows if row.verdict == verdict)

    def idle_ns(self, cause: IdleCause) -> int:
        """Idle time of the window that has this cause."""
        return sum(part.time_ns for part in self.time.idle_by_cause if part.cause == cause)
