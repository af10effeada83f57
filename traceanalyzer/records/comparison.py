"""The Comparison of two sides, base and head, that every format of `diff` shows; its JSON field by field.

All times are whole ns per step: a side's totals over all its runs by its steps; without steps the trace
counts as one. Every `change` is head - base, and the changes of operators and causes add up exactly.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from traceanalyzer.records.analysis import Tool
from traceanalyzer.records.recording import Recording
from traceanalyzer.records.vocabulary import IdleCause, Limiter, Phase, Verdict

COMPARISON_SCHEMA_VERSION = "1.0"

WorkCode = Literal[
    "device", "device_count", "rank_count", "shapes", "batch", "flops", "precision", "versions", "step_count",
    "settings",
]  # fmt: skip
OTHER_WORK: tuple[WorkCode, ...] = ("device", "device_count", "rank_count", "shapes", "batch", "flops")
"""Reasons for which the two sides did not do the same work; the others are said and no more."""

StepVerdict = Literal["faster", "slower", "no_change", "cannot_tell"]
MatchKind = Literal["matched", "became", "appeared", "vanished"]
How = Literal["fused", "split", "shapes", "types", "renamed"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the interval of the change was made."""

    confidence: float
    resamples: int
    seed: int
    minimum_change_share: float


class SideFile(msgspec.Struct, frozen=True):
    """One trace or report of a side, and the rank and device of it that are compared."""

    path: str
    rank: int | None
    device_index: int | None


class SideDevice(msgspec.Struct, frozen=True):
    """The device of a side."""

    id: str
    name: str


class SideInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What one side is made of."""

    files: tuple[SideFile, ...]
    runs: int
    step_count: int | None  # over all runs; None: without steps
    step_durations_ns: tuple[tuple[int, ...], ...] | None  # a list a run
    device: SideDevice
    recording: Recording | None  # of the first run
    warnings: tuple[str, ...]  # codes, of all runs


class WorkReason(msgspec.Struct, frozen=True):
    """One thing that is not the same on both sides."""

    code: WorkCode
    base: str
    head: str
    message: str


class SameWork(msgspec.Struct, frozen=True):
    """Whether both sides did the same work; see OTHER_WORK."""

    same: bool
    reasons: tuple[WorkReason, ...]


class Change(msgspec.Struct, frozen=True):
    """A quantity on both sides: ns, or bytes of memory."""

    base: int
    head: int
    change: int

    @classmethod
    def of(cls, base: int, head: int) -> Change:
        return cls(base, head, head - base)


class StepChange(msgspec.Struct, frozen=True, kw_only=True):
    """The median step of both sides, the change with its interval, and what may be concluded."""

    base: int | None
    head: int | None
    change: int | None
    change_share: float | None  # of the base
    low: int | None  # of the change, in ns
    high: int | None
    confidence: float
    verdict: StepVerdict
    reason: str | None  # why nothing can be told, or what the interval leaves out


class CauseChange(msgspec.Struct, frozen=True):
    """Idle time of one cause."""

    cause: IdleCause
    base: int
    head: int
    change: int


class VerdictChange(msgspec.Struct, frozen=True):
    """Busy time of one verdict."""

    verdict: Verdict
    base: int
    head: int
    change: int


class MemoryBoundChange(msgspec.Struct, frozen=True):
    """Memory-bound time in its two parts."""

    at_roof_ns: Change
    below_roof_ns: Change


class MemoryChange(msgspec.Struct, frozen=True):
    """Memory in use, in bytes."""

    peak_bytes: Change
    reserved_bytes: Change | None = None  # by the allocator from the driver; None: a side does not tell


class Culprit(msgspec.Struct, frozen=True):
    """The largest single change; of a step that is surely slower or faster, the largest in its direction."""

    kind: Literal["op", "idle"]
    name: str
    change_ns: int


class SideRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of one side, per step."""

    name: str
    input_dims: tuple[Any, ...] | None
    input_types: tuple[str, ...] | None
    phase: Phase | None
    module: str | None
    calls: float
    attributed_ns: int
    verdict: Verdict
    limiter: Limiter | None
    efficiency: float | None


class OpChange(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the base and what they are in the head; each row of a side is in exactly one."""

    match: MatchKind
    name: str
    how: How | None
    evidence: str | None
    base: tuple[SideRow, ...]
    head: tuple[SideRow, ...]
    base_ns: int
    head_ns: int
    change_ns: int
    within_noise: bool = False  # changed by no more than what is the same does, or than runs differ by


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How long operators take in the head that are the same on both sides, as times of the base."""

    rows: int  # between low and high
    ratio: float  # of the median operator
    low: float  # of those that differ from it by no more than three times the spread
    high: float
    change_ns: int  # of these rows together


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two sides compared; `sentence` is the first line of every format."""

    schema_version: str = COMPARISON_SCHEMA_VERSION
    tool: Tool
    sentence: str
    settings: Settings
    base: SideInfo
    head: SideInfo
    same_work: SameWork
    step_ns: StepChange
    window_ns: Change
    busy_ns: Change
    idle_ns: Change
    idle_by_cause: tuple[CauseChange, ...]
    verdicts: tuple[VerdictChange, ...]
    memory_bound: MemoryBoundChange | None  # None: of a side it is not known how much runs at the roof
    unprofiled_step_ns: Change | None  # that the collector timed without the profiler
    memory: MemoryChange | None
    recorded_apart: str | None  # why the recordings do not compare; None: nothing shows that they do not
    drift: Drift | None  # None: too few operators are the same to tell
    culprit: Culprit | None
    ops: tuple[OpChange, ...]
