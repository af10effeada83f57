"""Which calls of a group are one collective: by their number in the group, else by order.

Recordings start and stop at different times, so that one rank has calls that another does not have, at either
end. Where no numbers are recorded, the calls of two ranks are shifted against each other until names, sizes
and steps agree and their ends are a constant apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.ranks.calls import Call, Group

# What ends on all ranks at once; a root of the others may leave early.
ENDS_TOGETHER = frozenset({"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "barrier"})
_ROOTED = frozenset({"broadcast", "reduce", "gather", "scatter"})
_NAMED = ENDS_TOGETHER | _ROOTED
_UNEVEN = frozenset({"all_to_all", "all_gather", "gather", "scatter"})  # ranks may give or take other sizes
_LEAST_OVERLAP = 0.5  # of the shorter list, of a shift that is believed
_MISMATCHES = 0.1  # of the overlap, up to which a shift is believed
_TRIED = 4_000_000  # comparisons of calls that are made for one pair of ranks
_NEAR = 256  # shifts tried round either end where all would be too many
_ALIKE_NS = 5_000  # spreads of ends that differ by less are alike
_ONE_CLOCK_NS = 1_000_000  # clocks that are no further apart are tried as one

Ints = npt.NDArray[np.int64]


class Match(msgspec.Struct, frozen=True):
    """One collective on two devices and more."""

    name: str
    group: Group
    calls: tuple[Call, ...]  # one a device

    @property
    def complete(self) -> bool:
        """Whether all members are among the calls."""
        size = self.group.size
        return size is None or len(self.calls) >= size


class Matches(msgspec.Struct, frozen=True):
    """All collectives of a job, and the calls that belong to none."""

    matches: tuple[Match, ...]
    contradictory: int  # calls whose partners have other names or sizes
    alone: int  # calls without a partner, of groups that have several devices


def matched(groups: Iterable[Group]) -> Matches:
    """The calls of each group, put together."""
    matches: list[Match] = []
    contradictory = alone = 0
    for group in groups:
        sets: dict[Hashable, list[Call]] = defaultdict(list)
        for device, places in _places(group).items():
            for call, key in zip(group.calls[device], places, strict=True):
                if key is None:
                    alone += 1
                else:
                    sets[key].append(call)
        for calls in sets.values():
            if len(calls) < 2:
                alone += len(calls)
            elif not _agree(calls, transfers=group.transfers):
                contradictory += len(calls)
            else:
                matches.append(Match(_name_of(group, calls), group, tuple(calls)))
    return Matches(tuple(matches), contradictory, alone)


def _name_of(group: Group, calls: Sequence[Call]) -> str:
    if group.transfers:
        return "send_recv"
    names = [call.form.name for call in calls]
    return Counter([name for name in names if name in _NAMED] or names).most_common(1)[0][0]


def _agree(calls: Sequence[Call], *, transfers: bool) -> bool:
    return all(_compatible(calls[0], call, transfers=transfers) for call in calls[1:])


def _compatible(a: Call, b: Call, *, transfers: bool) -> bool:
    """Whether the two can be of one collective. A kernel without arguments may not say what it is."""
    names = {a.form.name, b.form.name}
    if transfers:
        sizes = [s for s in (_transferred(a), _transferred(b)) if s is not None]
        return names == {"send", "recv"} and len(set(sizes)) < 2
    if len(names & _NAMED) > 1 or (names & ENDS_TOGETHER - {"all_to_all"} and "send_recv" in names):
        return False
    if names & _UNEVEN:
        return True
    pairs = ((a.form.in_bytes, b.form.in_bytes), (a.form.out_bytes, b.form.out_bytes))
    return all(x is None or y is None or x == y for x, y in pairs)


def _transferred(call: Call) -> int | None:
    return call.form.in_bytes if call.form.name == "send" else call.form.out_bytes or call.form.in_bytes


def _places(group: Group) -> dict[int, list[Hashable | None]]:
    """Of each call of each device, what is equal for the calls of one collective; None: not known."""
    numbered = {device: _numbers(calls) for device, calls in group.calls.items()}
    places = {device: numbers for device, numbers in numbered.items() if numbers is not None}
    pool = list(places) or list(group.calls)
    reference = max(pool, key=lambda device: (len(group.calls[device]), -device))
    if reference not in places:
        places[reference] = list(range(len(group.calls[reference])))
    for device, calls in group.calls.items():
        if device not in places:
            places[device] = _by_order(group, reference, places[reference], calls)
    return places


def _numbers(calls: Sequence[Call]) -> list[Hashable | None] | None:
    """By `Seq`; of a call without one by its place, where the others count up one by one."""
    numbered = [(at, call.sequence) for at, call in enumerate(calls) if call.sequence >= 0]
    if not numbered:
        return None
    ahead = {number - at for at, number in numbered}
    if len(ahead) == 1:
        offset = ahead.pop()
        return [(at + offset, 0) for at in range(len(calls))]
    seen: Counter[int] = Counter()
    numbers: list[Hashable | None] = []
    for call in calls:  # what is coalesced shares its number
        numbers.append((call.sequence, seen[call.sequence]) if call.sequence >= 0 else None)
        seen[call.sequence] += 1
    return numbers


def _by_order(
    group: Group, reference: int, places: Sequence[Hashable | None], calls: Sequence[Call]
) -> list[Hashable | None]:
    shift = best_shift(group.calls[reference], calls, transfers=group.transfers)
    if shift is None:
        return [None] * len(calls)
    wanted = range(shift, shift + len(calls))
    return [places[at] if 0 <= at < len(places) else ("alone", calls[0].device, at) for at in wanted]


class _Shift(msgspec.Struct, frozen=True):
    shift: int
    overlap: int
    mismatches: float  # share of the overlap
    other_step: float
    spread_ns: float
    apart_ns: float  # of the two clocks


def best_shift(reference: Sequence[Call], calls: Sequence[Call], *, transfers: bool = False) -> int | None:
    """`calls[i]` belongs to `reference[i + shift]`; None where no shift makes sense."""
    coded = _Coded.of(reference, calls, transfers=transfers)
    least = max(1, int(_LEAST_OVERLAP * min(len(reference), len(calls))))
    tried = [coded.at(shift) for shift in _shifts(len(reference), len(calls), least)]
    fewest = min((each.mismatches for each in tried), default=1.0)
    if fewest > _MISMATCHES:
        return None
    likely = [each for each in tried if each.mismatches <= fewest + 1e-9]
    same_step = min(each.other_step for each in likely)
    likely = [each for each in likely if each.other_step <= same_step + 1e-9]
    spread = min(each.spread_ns for each in likely)
    likely = [each for each in likely if each.spread_ns <= 2 * spread + _ALIKE_NS]
    near = [each for each in likely if each.apart_ns <= _ONE_CLOCK_NS]
    if near:
        return min(near, key=lambda each: each.apart_ns).shift
    return min(likely, key=lambda each: (-each.overlap, each.apart_ns)).shift


def _shifts(count: int, other: int, least: int) -> Iterable[int]:
    """Every shift with an overlap of `least`; of very many calls those near either end."""
    low, high = least - other, count - least
    if count * other <= _TRIED:
        return range(low, high + 1)
    ends = {at for end in (0, count - other) for at in range(end - _NEAR, end + _NEAR + 1)}
    return sorted(at for at in ends if low <= at <= high)


class _Coded(msgspec.Struct, frozen=True):
    """Two lists of calls as numbers that are compared at once."""

    name: tuple[Ints, Ints]  # 0: does not say
    size: tuple[Ints, Ints]  # -1: not known, or free to differ
    step: tuple[Ints, Ints]  # -1: not known
    end: tuple[Ints, Ints]

    @classmethod
    def of(cls, reference: Sequence[Call], calls: Sequence[Call], *, transfers: bool) -> _Coded:
        names: dict[str, int] = {}

        def coded(call: Call) -> tuple[int, int, int, int]:
            name = call.form.name
            code = 0 if transfers or name not in _NAMED else 1 + names.setdefault(name, len(names))
            size = _transferred(call) if transfers else None if name in _UNEVEN else call.form.in_bytes
            return code, -1 if size is None else size, call.step, call.end_ns

        both = [np.array([coded(c) for c in each], np.int64).reshape(-1, 4) for each in (reference, calls)]
        columns = [(both[0][:, i], both[1][:, i]) for i in range(4)]
        return cls(*columns)

    def at(self, shift: int) -> _Shift:
        """How well the two agree where the second is shifted so."""
        low, high = max(0, shift), min(len(self.end[0]), shift + len(self.end[1]))

        def pair(columns: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
            return columns[0][low:high], columns[1][low - shift : high - shift]

        (name, other_name), (size, other_size), (step, other_step), (end, other_end) = map(
            pair, (self.name, self.size, self.step, self.end)
        )
        unlike = (name > 0) & (other_name > 0) & (name != other_name)
        unlike |= (size >= 0) & (other_size >= 0) & (size != other_size)
        steps = (step >= 0) & (other_step >= 0)
        elsewhere = float(np.mean(step[steps] != other_step[steps])) if steps.any() else 0.0
        apart = end - other_end
        middle = int(apart[0]) + int(np.median(apart - apart[0]))
        spread = float(np.median(np.abs(apart - middle)))
        return _Shift(shift, high - low, float(unlike.mean()), elsewhere, spread, abs(middle))
