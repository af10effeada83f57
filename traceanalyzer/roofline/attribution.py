"""Attribution: busy time of the window split among the records that run in it, exact to the nanosecond.

Intervals are half open, [start, end), int64 ns. A record may run in several intervals (a host op is cut
by its children); `record` says which record an interval belongs to, and a record's number is its place
in the order (start, end, device, stream, correlation, name).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.records.stretches import blocks, stretches
from traceanalyzer.records.trace import Bools, Codes, Ids, Ints, distinct

_PAIRS_AT_ONCE = 4_000_000  # (segment, owner) pairs held in memory at a time


class Extent(msgspec.Struct, frozen=True, eq=False):
    """Each record against the window; all arrays have one entry a record."""

    duration_ns: Ints  # of its part inside
    inside: Bools  # it counts: some of it, or an instant for a record of zero length, lies inside
    cut: Bools  # it counts, and some of it lies outside


def extent(start_ns: Ints, end_ns: Ints, record: Ids, n_records: int, window: tuple[int, int]) -> Extent:
    """What of each record lies inside `window` = (start, end); O(intervals)."""
    duration, full = np.zeros(n_records, np.int64), np.zeros(n_records, np.int64)
    inside = np.zeros(n_records, bool)
    for part in blocks(len(record)):
        opens, closes, mine = start_ns[part], end_ns[part], record[part]
        start, end = clip(opens, closes, window)
        np.add.at(duration, mine, end - start)
        np.add.at(full, mine, closes - opens)
        inside[mine[(opens == closes) & (opens >= window[0]) & (opens <= window[1])]] = True
    inside |= duration > 0
    return Extent(duration, inside, inside & (duration < full))


def clip(start_ns: Ints, end_ns: Ints, window: tuple[int, int]) -> tuple[Ints, Ints]:
    """The intervals inside `window`; those outside it become empty, with start == end."""
    start = np.clip(start_ns, *window)
    return start, np.maximum(np.clip(end_ns, *window), start)


def union(start_ns: Ints, end_ns: Ints) -> tuple[Ints, Ints]:
    """The same instants as sorted intervals that neither overlap nor touch; O(n log n)."""
    parts = [_union(start_ns[part], end_ns[part]) for part in stretches(start_ns, end_ns)]
    if len(parts) < 2:
        return _union(start_ns, end_ns) if not parts else parts[0]
    start, end = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return start, end


def _union(start_ns: Ints, end_ns: Ints) -> tuple[Ints, Ints]:
    real = end_ns > start_ns
    start_ns, end_ns = start_ns[real], end_ns[real]
    order = np.argsort(start_ns, kind="stable")
    start, reach = start_ns[order], np.maximum.accumulate(end_ns[order])
    first = np.ones(len(start), bool)
    first[1:] = start[1:] > reach[:-1]
    last = np.roll(first, -1)
    return start[first], reach[last] if len(reach) else reach


def union_ns(start_ns: Ints, end_ns: Ints) -> int:
    """How many nanoseconds at least one interval covers."""
    start, end = union(start_ns, end_ns)
    return int((end - start).sum())


def end_to_end(group: Ids, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Where each group opens, and the shift that lays them one behind the other with a gap between.

    For intervals in order of (group, start), one or more: shifted so, one running maximum serves all
    groups. TraceFormatError where they reach over 2**62 ns in all, which takes 146 years.
    """
    opens = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    reach = np.maximum.reduceat(end, opens) - start[opens] + 2
    if reach.sum(dtype=np.float64) >= 2**62:
        raise TraceFormatError(
            "the trace: what its rows last is over 146 years in all (sums of ts and dur)",
            fix="record it again: its clock was wrong",
        )
    return opens, np.cumsum(reach) - reach - start[opens]


class Attributed(msgspec.Struct, frozen=True, eq=False):
    """Busy time of each record in each step of the window; one entry where it has some."""

    record: Ids
    step: Ids
    time_ns: Ints

    def by_record(self, n_records: int) -> Ints:
        """In ns; shape (n_records,). It adds up to the union exactly."""
        return _sum_by(self.record, self.time_ns, n_records)


NOTHING = Attributed(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64))


def attribute(
    start_ns: Ints, end_ns: Ints, record: Ids, work_class: Codes, cuts: Sequence[int] | Ints
) -> Attributed:
    """All that `attributed` gives, together."""
    return joined([NOTHING, *attributed(start_ns, end_ns, record, work_class, cuts)])


def joined(parts: Sequence[Attributed]) -> Attributed:
    """One behind the other."""
    record, step, time_ns = (np.concatenate([getattr(part, name) for part in parts])
                             for name in Attributed.__struct_fields__)  # fmt: skip
    return Attributed(record, step, time_ns)


def attributed(
    start_ns: Ints, end_ns: Ints, record: Ids, work_class: Codes, cuts: Sequence[int] | Ints
) -> Iterator[Attributed]:
    """Busy time of the window attributed to the records that run in it, step by step.

    `cuts`: ascending, where each step begins, and where the last one and with it the window ends. The window
    is cut where the set of running records changes. `work_class`, one entry a record, is 0 compute, 1
    communication, 2 copy: the segment goes to the lowest class that runs. A segment of n ns with k owners
    gives n // k to each and the remaining ns, one each, to the first of them in the order; of a segment in
    which a step begins, the first m ns are given out by the same rule, and the rest is the next step's.
    Base shares are prefix sums over segments, so no loop runs over owners; O(n log n). It comes in parts, one
    for each stretch of time between two moments at which nothing runs.
    """
    at = np.array(cuts, np.int64)
    for part in stretches(start_ns, end_ns):
        inside = clip(start_ns[part], end_ns[part], (at[0], at[-1]))
        start, end, owner = _whole(*inside, record[part])
        alone = _alone(start, end)
        if alone.any():
            left, right, whose, step = by_step(start[alone], end[alone], owner[alone], at)
            yield Attributed(whose, step, right - left)
        if not alone.all():
            shared = ~alone
            yield _attributed(start[shared], end[shared], owner[shared], work_class, at)


def _alone(start: Ints, end: Ints) -> Bools:
    """Whether nothing else runs in each interval: most records of most traces."""
    order = np.argsort(start, kind="stable")
    opens, closes = start[order], end[order]
    apart = opens[1:] >= np.maximum.accumulate(closes)[:-1]
    alone = np.empty(len(start), bool)
    alone[order] = np.append(True, apart) & np.append(apart, True) if len(order) else True
    return alone


def _attributed(start: Ints, end: Ints, owner: Ids, work_class: Codes, cuts: Ints) -> Attributed:
    """Of intervals that overlap others; none of them is empty."""
    changes = distinct(np.concatenate((start, end)))
    start, end, owner, step = by_step(start, end, owner, cuts)
    bounds, opened = _with_steps(changes, distinct(start[start == cuts[step]]))
    first, last = (np.searchsorted(bounds, times).astype(np.int32) for times in (start, end))
    del start, end
    top, count = _owners(first, last, work_class[owner], len(bounds) - 1)
    before, until = bounds[:-1] - opened, bounds[1:] - opened  # ns of the segment given out before and after
    del opened, changes, bounds
    owned = np.zeros(len(owner), np.int64)
    for level in np.unique(top[top >= 0]).tolist():
        mine = np.flatnonzero(work_class[owner] == level)
        ours = np.where(top == level, count, 0)
        owned[mine] = _given(first[mine], last[mine], until, ours)
        if before.any():
            owned[mine] -= _given(first[mine], last[mine], before, ours)
    return Attributed(owner, step, owned)


def _with_steps(changes: Ints, begins: Ints) -> tuple[Ints, Ints]:
    """Where segments begin and the last ends, with steps that begin inside one; and where each was opened."""
    at = np.searchsorted(changes, begins)
    new = changes[at] != begins
    bounds = np.insert(changes, at[new], begins[new])
    opener = np.arange(len(bounds) - 1)
    opener[at[new] + np.arange(np.count_nonzero(new))] = 0
    return bounds, bounds[np.maximum.accumulate(opener)]


def _given(first: Ids, last: Ids, given_ns: Ints, count: Ids) -> Ints:
    """What each interval has of the first `given_ns` of its segments, each of which has `count` owners."""
    base: Ints = np.where(count > 0, given_ns // np.maximum(count, 1), 0)
    total = np.concatenate(([0], np.cumsum(base)))
    owned: Ints = total[last] - total[first]
    rest = given_ns - base * count
    del total, base
    return owned + _remainders(first, last, rest, count)


def by_step(start: Ints, end: Ints, owner: Ids, cuts: Ints) -> tuple[Ints, Ints, Ids, Ids]:
    """Intervals inside `cuts`, cut where steps begin, with the step of each piece; in the order of before."""
    first = np.searchsorted(cuts, start, side="right") - 1
    sizes = np.searchsorted(cuts, end, side="left") - first
    row = np.repeat(np.arange(len(start), dtype=np.int32), sizes)
    step = np.arange(len(row), dtype=np.int32)
    step -= np.repeat((np.cumsum(sizes) - sizes - first).astype(np.int32), sizes)
    del first, sizes  # a long trace has millions of intervals
    left, right = np.maximum(start[row], cuts[step]), np.minimum(end[row], cuts[step + 1])
    real = right > left  # a step of no length has no piece
    return left[real], right[real], owner[row[real]], step[real]


def _owners(first: Ids, last: Ids, work_class: Codes, segments: int) -> tuple[Codes, Ids]:
    """The lowest class that runs in each segment, -1 where none does, and how many of it run."""
    top, count = np.full(segments, -1, np.int8), np.zeros(segments, np.int32)
    for level in np.unique(work_class).tolist():
        of_level = work_class == level
        change = np.bincount(first[of_level], minlength=segments + 1)
        change -= np.bincount(last[of_level], minlength=segments + 1)
        running = np.cumsum(change, dtype=np.int32)[:-1]
        free = (top < 0) & (running > 0)
        top[free], count[free] = level, running[free]
    return top, count


def hidden_ns(
    start_ns: Ints, end_ns: Ints, record: Ids, attributed_ns: Ints, members: Bools, window: tuple[int, int]
) -> int:
    """Hidden time (ns) of `members` (one entry a record): their union less their attributed time."""
    if not members.any():
        return 0
    chosen = members[record]
    covered = union_ns(*clip(start_ns[chosen], end_ns[chosen], window))
    return covered - int(attributed_ns[members].sum())


def _whole(start: Ints, end: Ints, record: Ids) -> tuple[Ints, Ints, Ids]:
    """Non-empty intervals by record, in its order; those of one record that overlap or touch as one."""
    real = end > start
    start, end, record = start[real], end[real], record[real]
    if _are_apart(start, end, record):
        return start, end, record
    order = np.lexsort((start, record))
    start, end, record = start[order], end[order], record[order]
    if _are_apart(start, end, record):
        return start, end, record
    opens, shift = end_to_end(record, start, end)
    each = np.repeat(shift, np.diff(opens, append=len(record)))
    left, right = union(start + each, end + each)
    which = np.searchsorted(start[opens] + shift, left, side="right") - 1
    return left - shift[which], right - shift[which], record[opens][which]


def _are_apart(start: Ints, end: Ints, record: Ids) -> bool:
    """Whether they are in the order of (record, start), and none of a record overlaps or touches another."""
    later = (record[1:] == record[:-1]) & (start[1:] > end[:-1])
    return bool((later | (record[1:] > record[:-1])).all())


def _remainders(first: Ids, last: Ids, rest: Ints, count: Ids) -> Ints:
    """How many leftover ns each interval gets: one in each segment where it is among the first `rest`.

    `first`, `last`: the segments an interval spans, intervals in record order. `rest`, `count`: of each
    segment the ns left over, and among how many owners.
    """
    extra = np.zeros(len(first), np.int64)
    contested = np.flatnonzero((count > 0) & (rest > 0))
    begin, stop = np.searchsorted(contested, first), np.searchsorted(contested, last)
    for low, high in _blocks(count[contested]):
        left, right = np.maximum(begin, low), np.minimum(stop, high)
        here = np.flatnonzero(right > left)
        sizes = right[here] - left[here]
        interval = np.repeat(here, sizes)
        segment = np.arange(len(interval)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        segment += np.repeat(left[here], sizes)
        order = np.argsort(segment, kind="stable")  # keeps record order inside a segment
        segment, interval = segment[order], interval[order]
        number = np.arange(len(segment))
        opens = np.append(True, segment[1:] != segment[:-1])
        number -= np.maximum.accumulate(np.where(opens, number, 0))
        extra += np.bincount(interval[number < rest[contested][segment]], minlength=len(extra))
    return extra


def _blocks(count: Ids) -> Iterator[tuple[int, int]]:
    """Ranges of segments with few enough (segment, owner) pairs for memory."""
    total = np.cumsum(count, dtype=np.int64)
    low = 0
    while low < len(count):
        done = int(total[low - 1]) if low else 0
        high = max(int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right")), low + 1)
        yield low, high
        low = high


def _sum_by(group: Ids, value: Ints, size: int) -> Ints:
    """Exact integer sums by group."""
    total = np.zeros(size, np.int64)
    np.add.at(total, group, value)
    return total
