"""Bytes that one match moves, before and after its change: counted by the hardware beside predicted."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from traceanalyzer.cost.cpu_work import lines_read_first
from traceanalyzer.verify.counters import (
    MemoryCounter,
    Opened,
    bytes_moved,
    memory_counters,
    opened_by_system,
)
from traceanalyzer.verify.verify import Trial


class Moved(msgspec.Struct, frozen=True):
    """Bytes per run on a CPU."""

    before: float
    after: float
    predicted_before: int  # compulsory
    predicted_after: int | None  # likewise; None: the rule predicts none
    read_first: int  # more that moves before: lines that are read before they are overwritten
    counter: MemoryCounter


class NotCounted(msgspec.Struct, frozen=True):
    """Why nothing was counted."""

    reason: str


def moved(
    trial: Trial, counters: Iterable[MemoryCounter] | None = None, opened: Opened = opened_by_system
) -> Moved | NotCounted:
    """By the first of `counters`, those of this machine, that may be opened."""
    if any(getattr(value, "is_cuda", False) for value in trial.eager.inputs):
        return NotCounted("these counters are of a CPU's memory")
    reason = "this machine shows no counters of memory or caches, as most virtual machines"
    for counter in memory_counters() if counters is None else counters:
        try:
            before, after = (bytes_moved(each, counter, opened) for each in (trial.eager, trial.replacement))
        except OSError as error:
            reason = f"{counter.how}: {error.strerror or error}"
            continue
        priced = [(node.call, node.cost) for match in trial.matches for node in match.nodes if node.cost]
        left = [match.after.bytes for match in trial.matches if match.after is not None]
        remaining = sum(left) if len(left) == len(trial.matches) else None
        return Moved(
            before, after, sum(cost.bytes for _, cost in priced), remaining,
            sum(lines_read_first(call, cost) for call, cost in priced), counter,
        )  # fmt: skip
    return NotCounted(reason)
