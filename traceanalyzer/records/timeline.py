"""The timeline: a step cut into bins of equal length, and what the device did in each."""

from __future__ import annotations

from typing import Literal

import msgspec

from traceanalyzer.records.vocabulary import IdleCause, Phase, Verdict

MOST_BINS = 480  # of one step: as many as a page is wide
MOST_STEPS = 24  # each with bins of its own; of more the whole window has them


class TimelinePart(msgspec.Struct, frozen=True):
    """Time of one verdict, or of one cause of idleness, in each bin."""

    kind: Literal["verdict", "idle"]
    name: Verdict | IdleCause
    time_ns: tuple[int, ...]  # one a bin


class StepTimeline(msgspec.Struct, frozen=True, kw_only=True):
    """One step, or the whole window, in bins: its parts fill each of them to the nanosecond.

    Summed over bins, parts are the step's verdicts and causes of idleness; those at 0 are left out.
    """

    step: str | None  # None: the whole window
    bin_ns: int  # of each bin but the last, which is cut
    parts: tuple[TimelinePart, ...]
    phase: tuple[Phase | None, ...]  # of most busy time of each bin; None: not known, or nothing ran
