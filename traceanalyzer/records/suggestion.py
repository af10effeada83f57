"""Suggestions, what they leave of a step, and what was looked for: the output of fusion/."""

from __future__ import annotations

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
SavingOf = Literal["each_step", "shown_step", "step_of_kind", "mean_step", "trace"]
"""Each of steps that are alike; of steps that differ the one that is shown, one of another kind, or the mean
of all; the trace."""


class OfKind(msgspec.Struct, frozen=True):
    """The kind of steps that a saving is of, where there are several."""

    name: str  # as of `kind_name`: "A" is the first of `window.kinds`
    steps: int
    of: int  # steps of all kinds


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """One change that would save time. No two claim the same kernel: those of one `saving_of` add up.

    On a CPU two that are never proved (`kept_pages`, `channels_last`) save of time that others shorten too.
    """

    rule: str
    title: str
    tier: Tier
    action: str
    snippet: str
    where: str
    count: int
    evidence: str
    bytes_saved_per_step: int | None
    saving_per_step_ns: Band | None  # of what `saving_of` says: by what that is shorter
    share_of_step: float | None
    peak_bytes_saved: int | None = None  # tensors in use at the peak of memory that are not written any more
    caveats: tuple[str, ...]
    docs: str
    saving_of: SavingOf | None = None  # None: an older report does not say
    step_kind: OfKind | None = None  # None: steps are of one kind, or it is of all of them
    cost_to_try: str = ""  # what has to be changed, how long that takes, when it pays back; "": not known
    busy_saving_ns: Band | None = (
        None  # where a host that sets the pace leaves less of it: of busy time alone
    )
    places: tuple[CodePlace, ...] = ()  # of its operators, or of the waits; most time first; (): not known


class Headroom(msgspec.Struct, frozen=True, kw_only=True):
    """The shown step, or the mean of alike ones, or the trace: now, after changes, and at the roofs.

    `low` is the shortest: at_roofs_ns <= all_ns <= proved_ns <= now_ns, at each end of the bands.
    """

    now_ns: int
    proved_ns: Band  # with the suggestions that are sure to save something
    all_ns: Band  # with those that may save nothing too
    at_roofs_ns: int  # nothing idle, and every row whose roof is known at it, if it does not beat it
    not_bounded_ns: int  # of rows whose roof is not known; in at_roofs_ns it counts as it is


Outcome = Literal["found", "not_found", "not_checkable"]


class RuleCheck(msgspec.Struct, frozen=True):
    """Whether what a rule describes was found; where it cannot be looked for, what the trace lacks."""

    rule: str
    outcome: Outcome
    reason: str | None = None


class Suggestions(msgspec.Struct, frozen=True):
    """Of one analysis, the largest saving first; None: not looked for, the notices say why."""

    found: tuple[Suggestion, ...] | None
    notices: tuple[Notice, ...] = ()
    first_op: tuple[int, ...] = ()  # of each one found: row in Trace.ops of the operator it begins with; -1
    # Of each one found what a compiler takes for it; 0: it compiles nothing.
    compiling_ns: tuple[float, ...] = ()
    headroom: Headroom | None = None
    checks: tuple[RuleCheck, ...] = ()
