"""One clock for all ranks: what ends together on all of them tells how far their clocks are apart.

The clocks of one host agree within microseconds and are left as they are. Those of several hosts, and any
that the ends contradict, are set by the median difference of the ends, and its slope where one runs faster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from traceanalyzer.ranks.matching import ENDS_TOGETHER, Match

SAME_CLOCK_NS = 50_000  # ends of one host's ranks are closer
_WANDERING_NS = 500_000  # ends that scatter more tie no clock
_LEAST_FOR_DRIFT = 12  # collectives


class Clock(msgspec.Struct, frozen=True):
    """What is added to a device's times: `offset_ns` at `at_ns`, and `drift` for each ns since."""

    offset_ns: int = 0
    drift: float = 0.0
    at_ns: int = 0

    def on_common(self, time_ns: int) -> int:
        """The time of the device on the clock of all."""
        return time_ns + self.offset_ns + round(self.drift * (time_ns - self.at_ns))


def clocks(matches: Iterable[Match], devices: int) -> tuple[Clock | None, ...]:
    """The clock of each device; None where no collective ties it to the largest part of the job.

    Sends and receives tie a device that nothing else does.
    """
    ends: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    transfers: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for match in matches:
        if match.group.transfers or match.name in ENDS_TOGETHER:
            first, *others = sorted(match.calls, key=lambda call: call.device)
            into = transfers if match.group.transfers else ends
            for other in others:
                into[first.device, other.device].append((first.end_ns, other.end_ns))
    ties = {pair: tie for pair, samples in ends.items() if (tie := _tie(samples)) is not None}
    weak = {pair: tie for pair, samples in transfers.items() if (tie := _tie(samples)) is not None}
    return _spread(ties, weak, devices)


class _Tie(msgspec.Struct, frozen=True):
    """The second device's clock by the first one's."""

    clock: Clock
    samples: int


def _tie(samples: Sequence[tuple[int, int]]) -> _Tie | None:
    """None where the differences scatter so much that they say nothing."""
    first, other = np.array(sorted(samples, key=lambda pair: pair[1]), np.int64).T
    apart = first - other
    middle = int(apart[0]) + int(np.median(apart - apart[0]))
    at, drift = int(other[len(other) // 2]), 0.0
    rest = (apart - middle).astype(np.float64)
    if len(samples) >= _LEAST_FOR_DRIFT:
        third = len(samples) // 3
        rise = float(np.median(rest[-third:]) - np.median(rest[:third]))
        run = float(np.median(other[-third:] - at) - np.median(other[:third] - at))
        straight = rest - (rise / run) * (other - at) if run else rest
        straight = straight - np.median(straight)
        if abs(rise) > SAME_CLOCK_NS and np.median(np.abs(straight)) < 0.5 * np.median(np.abs(rest)):
            drift, rest = rise / run, straight
            level = apart - np.rint(drift * (other - at)).astype(np.int64)
            middle = int(level[0]) + int(np.median(level - level[0]))
    if np.median(np.abs(rest)) > _WANDERING_NS:
        return None
    if abs(middle) <= SAME_CLOCK_NS and not drift:
        return _Tie(Clock(at_ns=at), len(samples))
    return _Tie(Clock(middle, drift, at), len(samples))


def _spread(
    ties: dict[tuple[int, int], _Tie], weak: dict[tuple[int, int], _Tie], devices: int
) -> tuple[Clock | None, ...]:
    """From the largest part outwards, the best tie first."""
    neighbors: dict[int, list[tuple[int, bool, _Tie]]] = defaultdict(list)
    for strong, some in ((True, ties), (False, weak)):
        for (first, other), tie in some.items():
            neighbors[first].append((other, strong, tie))
            back = Clock(-tie.clock.offset_ns, -tie.clock.drift, tie.clock.at_ns)
            neighbors[other].append((first, strong, _Tie(back, tie.samples)))
    best: dict[int, Clock] = {}
    left = set(range(devices))
    while left:
        part = _part(min(left), neighbors)
        left -= part.keys()
        if len(part) > max(1, len(best)):
            best = part
    return tuple(best.get(device) for device in range(devices))


def _part(root: int, neighbors: dict[int, list[tuple[int, bool, _Tie]]]) -> dict[int, Clock]:
    """The clocks of all that are tied to `root`."""
    reached = {root: Clock()}
    while True:
        edges = [
            (strong, tie.samples, -device, -other, tie)
            for device in reached
            for other, strong, tie in neighbors[device]
            if other not in reached
        ]
        if not edges:
            return reached
        *_, device, other, tie = max(edges, key=lambda edge: edge[:4])
        reached[-other] = _joined(reached[-device], tie.clock)


def _joined(outer: Clock, inner: Clock) -> Clock:
    """`inner` and then `outer`; products of drifts are far below a nanosecond."""
    offset = inner.offset_ns + outer.offset_ns + round(outer.drift * (inner.at_ns - outer.at_ns))
    return Clock(offset, inner.drift + outer.drift, inner.at_ns)
