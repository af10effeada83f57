"""Whether a roof limits anything: large kernels at a few per cent of theirs are slow for another reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from traceanalyzer.records import OpRow

_FAR_BELOW = 0.1  # of their roofs, that rows reach on average
_AT_A_ROOF = 0.1  # of busy time that runs at a roof: from it on, a roof limits some of what runs
_ENOUGH_OF_BUSY = 0.05  # of busy time in large kernels: an average over less says nothing
_MOST = 0.5  # of the time of rows that a roof could limit, in kernels whose work alone outlasts a launch


class FarBelow(msgspec.Struct, frozen=True):
    """What a roof could limit, where none does."""

    reached: float  # of their roofs, weighted by time
    large: tuple[OpRow, ...]  # whose work alone outlasts a launch


def far_below(rows: Sequence[OpRow], busy_ns: int, launch_floor_ns: float) -> FarBelow | None:
    """Where nothing notable runs at a roof, and most of what one could limit is large and far below it."""
    limited = [r for r in rows if r.verdict in ("compute_bound", "memory_bound") and r.efficiency is not None]
    large = tuple(r for r in limited if (r.roof_ns or 0.0) > launch_floor_ns * r.calls)
    time_ns, of_large = _attributed(limited), _attributed(large)
    if not of_large or of_large < max(_ENOUGH_OF_BUSY * busy_ns, _MOST * time_ns):
        return None
    if _attributed([row for row in rows if row.runs_at_a_roof]) >= _AT_A_ROOF * busy_ns:
        return None
    reached = sum(row.attributed_ns * (row.efficiency or 0.0) for row in limited) / time_ns
    return FarBelow(reached, large) if reached < _FAR_BELOW else None


def _attributed(rows: Iterable[OpRow]) -> int:
    return sum(row.attributed_ns for row in rows)
