"""Suggestions: the output of fusion/, shown by reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from traceanalyzer.records.code import CodePlace
from traceanalyzer.records.notice import Notice


class Band(msgspec.Struct, frozen=True):
    """A predicted saving as low, middle and high, in ns per step."""

    low: float
    mid: float
    high: float


Tier = Literal["T0", "T1", "T2", "T3"]
SavingOf = Literal["each_step", "shown_step", "mean_step", "trace"]
"""Each of steps that are alike; of steps that differ the one that is shown, or the mean of all; the trace."""


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """One change that would save time. No two claim the same kernel: those of one `saving_of` add up."""

    rule: str
    title: str
    tier: Tier
    action: str
    snippet: str
    where: str
    count: int
    evidence: str
    bytes_saved_per_step: int | None
    saving_per_step_ns: Band | None  # of what `saving_of` says
    share_of_step: float | None
    caveats: tuple[str, ...]
    docs: str
    saving_of: SavingOf | None = None  # None: an older report does not say
    places: tuple[CodePlace, ...] = ()  # of its operators, most time first; (): not known


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Of one analysis, the largest saving first; None: not looked for, the notices say why."""

    found: tuple[Suggestion, ...] | None
    notices: tuple[Notice, ...] = ()
    first_op: tuple[int, ...] = ()  # of each one found: row in Trace.ops of the operator it begins with; -1
