"""Who waited for whom: a rank that arrives at a collective waits until the last one does."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from traceanalyzer.ranks.clocks import Clock
from traceanalyzer.ranks.matching import Match
from traceanalyzer.ranks.stages import Stages

_TWICE = {"all_reduce"}  # what is reduced is sent back as well
_ONCE = {"all_gather", "reduce_scatter", "all_to_all"}


class Arrivals(msgspec.Struct, frozen=True):
    """One collective on the clock of all ranks."""

    match: Match
    at_ns: dict[int, int]  # when each device came
    end_ns: int  # when the last one left
    scheduled: bool  # its waits belong to a pipeline's schedule

    @property
    def last(self) -> int:
        """The device that came last."""
        return max(self.at_ns, key=lambda device: (self.at_ns[device], -device))

    @property
    def last_ns(self) -> int:
        """When it came."""
        return max(self.at_ns.values())

    @property
    def waited_ns(self) -> dict[int, int]:
        """How long each device waited."""
        return {device: self.last_ns - ns for device, ns in self.at_ns.items()}

    @property
    def waited_for_ns(self) -> int:
        """How much earlier it would have begun without the last device."""
        *_, second, last = sorted(self.at_ns.values())
        return last - second


def arrivals_of(
    matches: Sequence[Match], clocks: Sequence[Clock | None], stages: Stages
) -> tuple[Arrivals, ...]:
    """Of what lies in the window of all its ranks; ranks whose clock is not known are left out of it."""
    arrivals = []
    for match in matches:
        at, end = {}, 0
        for call in match.calls:
            clock = clocks[call.device]
            if clock is not None and call.in_window:
                at[call.device] = clock.on_common(call.start_ns)
                end = max(end, clock.on_common(call.end_ns))
        if len(at) == len(match.calls):
            arrivals.append(Arrivals(match, at, end, stages.crossed_by(match)))
    return tuple(arrivals)


class Waits(msgspec.Struct, frozen=True):
    """Of each device that took part in a matched collective, over its window."""

    waited_ns: dict[int, int]
    waited_for_ns: dict[int, int]

    @classmethod
    def of(cls, arrivals: Sequence[Arrivals]) -> Waits:
        """Added up."""
        waited: Counter[int] = Counter()
        waited_for: Counter[int] = Counter()
        for each in arrivals:
            waited.update(each.waited_ns)
            waited_for[each.last] += each.waited_for_ns
        return cls(dict(waited), {device: waited_for[device] for device in waited})


class Total(msgspec.Struct, frozen=True):
    """All calls of one collective in one group."""

    name: str
    group: str
    calls: int
    waited_ns: int
    last: tuple[tuple[int, int], ...]  # (device, how often it came last), the most often first
    bytes: int | None  # of all messages
    bus_bytes_per_s: float | None


def totals(arrivals: Sequence[Arrivals]) -> tuple[Total, ...]:
    """By collective and group, those that are waited in longest first."""
    members: dict[tuple[str, str], list[Arrivals]] = defaultdict(list)
    for each in arrivals:
        members[each.match.name, each.match.group.label].append(each)
    lines = [_total(name, group, some) for (name, group), some in members.items()]
    return tuple(sorted(lines, key=lambda line: (-line.waited_ns, line.name, line.group)))


def _total(name: str, group: str, some: Sequence[Arrivals]) -> Total:
    last = Counter(each.last for each in some)
    sizes = [message_bytes(each.match) for each in some]
    return Total(
        name, group, len(some), sum(sum(each.waited_ns.values()) for each in some),
        tuple(sorted(last.items(), key=lambda item: (-item[1], item[0]))),
        sum(size for size in sizes if size is not None) if None not in sizes else None,
        bus_rate(some),
    )  # fmt: skip


def message_bytes(match: Match) -> int | None:
    """Of the whole message, as NCCL's tests count it: the gathered one of an all-gather, by rank."""
    forms = [call.form for call in match.calls]
    sizes = [max(k.in_bytes or 0, k.out_bytes or 0) for k in forms if (k.in_bytes or k.out_bytes)]
    return max(sizes, default=None)


def bus_rate(some: Sequence[Arrivals]) -> float | None:
    """Bytes over the busiest link in a second, while all ranks are there; None where a rank is missing.

    The factors are those of NCCL's tests (PERFORMANCE.md of nccl-tests).
    """
    moved, time_ns = 0.0, 0
    for each in some:
        size, ranks = message_bytes(each.match), each.match.group.size or len(each.at_ns)
        if size is None or not each.match.complete:
            return None
        moved += size * bus_factor(each.match.name, ranks)
        time_ns += max(0, each.end_ns - each.last_ns)
    return moved / time_ns * 1e9 if time_ns and moved else None


def bus_factor(name: str, ranks: int) -> float:
    """What of the message goes over each link."""
    if name in _TWICE:
        return 2 * (ranks - 1) / ranks
    return (ranks - 1) / ranks if name in _ONCE else 1.0
