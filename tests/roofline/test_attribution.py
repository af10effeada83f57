"""Attribution against a twin that counts every nanosecond one by one, and its conservation laws."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.records import stretches as parts_of_time
from traceanalyzer.records.stretches import AT_ONCE, stretches
from traceanalyzer.roofline.attribution import attribute as attribute_by_step
from traceanalyzer.roofline.attribution import attributed, extent, hidden_ns, union, union_ns

LONGEST = 40


def twin(intervals, ranks, window):
    """(start, end, record) triples; the rule read out loud, one nanosecond at a time."""
    low, high = window

    def running(t):
        return frozenset(r for s, e, r in intervals if s <= t < e) if low <= t < high else frozenset()

    owned = [0] * len(ranks)
    t = low
    while t < high:
        everyone = running(t)
        stop = t
        while stop < high and running(stop) == everyone:
            stop += 1
        if everyone:
            best = min(ranks[r] for r in everyone)
            owners = sorted(r for r in everyone if ranks[r] == best)
            each, left = divmod(stop - t, len(owners))
            for place, record in enumerate(owners):
                owned[record] += each + (place < left)
        t = stop
    return owned


def columns(intervals):
    table = np.array(intervals, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2].astype(np.int32)


def attribute(start, end, record, work_class, count, window):
    """Of each record in the whole window."""
    return attribute_by_step(start, end, record, work_class, window).by_record(count)


interval = st.tuples(st.integers(0, LONGEST), st.integers(0, 15), st.integers(0, 5)).map(
    lambda t: (t[0], t[0] + t[1], t[2])
)
cases = st.tuples(
    st.lists(interval, max_size=12),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.tuples(st.integers(0, 20), st.integers(20, LONGEST + 15)),
)


@settings(max_examples=400, deadline=None)
@given(cases)
def test_equals_the_twin_and_adds_up_to_busy(case):
    intervals, ranks, window = case
    start, end, record = columns(intervals)
    owned = attribute(start, end, record, np.array(ranks, np.int8), 6, window)
    assert owned.tolist() == twin(intervals, ranks, window)
    inside = [(max(s, window[0]), min(e, window[1])) for s, e, _ in intervals]
    busy = len({t for s, e in inside for t in range(s, e)})
    assert owned.sum() == busy
    # No record owns more than it ran, overlapping pieces of one record counted once.
    for one in range(6):
        mine = [span for span, (_, _, r) in zip(inside, intervals, strict=True) if r == one]
        ran = {t for s, e in mine for t in range(s, e)}
        assert owned[one] <= len(ran)


@settings(max_examples=300, deadline=None)
@given(cases, st.lists(st.integers(0, LONGEST + 15), max_size=4))
def test_steps_share_out_what_the_window_does(case, begins):
    """Each record has as much in all steps as in the window, and each step is full to its busy time."""
    intervals, ranks, (low, high) = case
    start, end, record = columns(intervals)
    ranks = np.array(ranks, np.int8)
    cuts = sorted([low, *(begin for begin in begins if low <= begin <= high), high])
    found = attribute_by_step(start, end, record, ranks, cuts)
    assert (found.time_ns >= 0).all()
    assert found.by_record(6).tolist() == twin(intervals, list(ranks), (low, high))
    for step, (left, right) in enumerate(zip(cuts, cuts[1:], strict=False)):
        busy = {t for s, e, _ in intervals for t in range(max(s, left), min(e, right))}
        assert found.time_ns[found.step == step].sum() == len(busy)


@settings(max_examples=300, deadline=None)
@given(cases, st.lists(st.integers(0, LONGEST + 15), max_size=4))
def test_stretches_of_time_one_by_one_give_what_all_at_once_give(case, begins):
    intervals, ranks, (low, high) = case
    start, end, record = columns(sorted(intervals))
    cuts = sorted([low, *(begin for begin in begins if low <= begin <= high), high])

    def found():
        given = attribute_by_step(start, end, record, np.array(ranks, np.int8), cuts)
        totals = np.zeros((6, len(cuts)), np.int64)
        np.add.at(totals, (given.record, given.step), given.time_ns)
        within = extent(start, end, record, 6, (low, high))
        columns_of_extent = (within.duration_ns, within.inside, within.cut)
        return [each.tolist() for each in (totals, *union(start, end), *columns_of_extent)]

    whole = found()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts_of_time, "AT_ONCE", 1)
        assert found() == whole


def test_what_is_held_at_once_is_a_stretch_however_long_the_trace():
    """Ten times as many bursts of 40 intervals over each other: parts of the same sizes."""
    for bursts in (3_000, 30_000):
        begin = 1000 * np.repeat(np.arange(bursts), 40)
        start = begin + np.tile(np.arange(40), bursts)
        end = begin + 500 + np.tile(np.arange(40), bursts)
        parts = [part.stop - part.start for part in stretches(start, end)]
        assert sum(parts) == len(start)
        assert max(parts) <= 2 * AT_ONCE
    record, ranks = np.arange(len(start), dtype=np.int32), np.zeros(len(start), np.int8)
    entries = [len(part.record) for part in attributed(start, end, record, ranks, (0, int(end[-1])))]
    assert entries == parts


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(interval, st.integers(1, 4)), max_size=12))
def test_no_stretch_reaches_into_another(weighted):
    """`sizes` says how many rows each interval stands for; they decide where parts end, not what is apart."""
    start, end, _ = columns(sorted(one for one, _ in weighted))
    for sizes in (None, np.array([size for _, size in weighted], np.int64)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(parts_of_time, "AT_ONCE", 2)
            parts = list(stretches(start, end, sizes))
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(len(start)))
        assert all(part.stop > part.start for part in parts)
        for before, after in zip(parts, parts[1:], strict=False):
            assert start[after.start :].min() > end[: before.stop].max()


@settings(max_examples=100, deadline=None)
@given(cases, st.randoms())
def test_order_of_the_intervals_changes_nothing(case, shuffler):
    intervals, ranks, window = case
    ranks = np.array(ranks, np.int8)
    before = attribute(*columns(intervals), ranks, 6, window)
    shuffler.shuffle(intervals)
    assert attribute(*columns(intervals), ranks, 6, window).tolist() == before.tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(interval, max_size=15))
def test_union_against_a_set_of_instants(intervals):
    start, end, _ = columns(intervals)
    instants = {t for s, e, _ in intervals for t in range(s, e)}
    assert union_ns(start, end) == len(instants)
    left, right = union(start, end)
    assert {t for s, e in zip(left, right, strict=True) for t in range(s, e)} == instants
    assert (left[1:] > right[:-1]).all()


@settings(max_examples=100, deadline=None)
@given(cases)
def test_busy_inside_and_outside_the_window_are_all_there_is(case):
    intervals, ranks, (low, high) = case
    start, end, record = columns(intervals)
    ranks = np.array(ranks, np.int8)
    whole = attribute(start, end, record, ranks, 6, (0, 200)).sum()
    parts = [(0, low), (low, high), (high, 200)]
    assert sum(attribute(start, end, record, ranks, 6, part).sum() for part in parts) == whole


def test_owners_share_to_the_nanosecond():
    """10 ns alone, 11 ns of two kernels, then 10 ns: the odd one goes to the first in the order."""
    owned = attribute(
        np.array([0, 10]), np.array([21, 31]), np.array([0, 1]), np.zeros(2, np.int8), 2, (0, 31)
    )
    assert owned.tolist() == [10 + 6, 5 + 10]


def test_compute_goes_before_communication_before_copy():
    start, end = np.array([0, 0, 0, 100]), np.array([100, 150, 170, 120])
    record, rank = np.arange(4), np.array([0, 1, 2, 0], np.int8)
    window = (0, 200)
    owned = attribute(start, end, record, rank, 4, window)
    assert owned.tolist() == [100, 30, 20, 20]
    assert hidden_ns(start, end, record, owned, rank == 1, window) == 120
    assert hidden_ns(start, end, record, owned, rank == 2, window) == 150


def test_a_copy_that_starts_meanwhile_cuts_the_segment():
    """The set of running records changes although its owners do not: 3 + 3 ns for two, not 6."""
    start, end = np.array([0, 0, 3]), np.array([6, 6, 6])
    owned = attribute(start, end, np.arange(3), np.array([0, 0, 2], np.int8), 3, (0, 6))
    assert owned.tolist() == [4, 2, 0]


def test_touching_pieces_of_one_record_do_not_cut():
    start, end = np.array([0, 3, 0]), np.array([3, 6, 6])
    owned = attribute(start, end, np.array([0, 0, 1]), np.zeros(2, np.int8), 2, (0, 6))
    assert owned.tolist() == [3, 3]


def test_nothing_at_all():
    empty = np.zeros(0, np.int64)
    assert attribute(empty, empty, empty, np.zeros(0, np.int8), 0, (0, 0)).tolist() == []
    assert union_ns(empty, empty) == 0
    assert extent(empty, empty, empty, 0, (0, 0)).inside.tolist() == []


def test_many_owners_of_long_stretches_still_add_up():
    source = random.Random(7)
    start = np.array([source.randrange(10**6) for _ in range(3000)])
    end = start + np.array([source.randrange(10**5) for _ in range(3000)])
    rank = np.array([source.randrange(3) for _ in range(3000)], np.int8)
    owned = attribute(start, end, np.arange(3000), rank, 3000, (10**5, 9 * 10**5))
    clipped = np.clip(start, 10**5, 9 * 10**5), np.clip(end, 10**5, 9 * 10**5)
    assert owned.sum() == union_ns(*clipped)


def test_many_records_of_a_long_trace_in_pieces():
    """A day of 100,000 records, each cut in two by a child: records times length is beyond 64 bits."""
    number, day = 100_000, 86_400 * 10**9
    begin = np.linspace(0, day - 1000, number).astype(np.int64)
    start = np.concatenate((begin, begin + 600))
    end = np.concatenate((begin + 400, begin + 1000))
    record = np.tile(np.arange(number), 2)
    owned = attribute(start, end, record, np.zeros(number, np.int8), number, (0, day))
    assert owned.tolist() == [800] * number


def test_extent_of_records_against_the_window():
    """Inside, cut at either side, outside, touching from outside, an instant at the edge, in two pieces."""
    start = np.array([20, 5, 45, 60, 0, 50, 12, 48])
    end = np.array([30, 15, 55, 70, 10, 50, 14, 52])
    record = np.array([0, 1, 2, 3, 4, 5, 6, 6])
    found = extent(start, end, record, 7, (10, 50))
    assert found.duration_ns.tolist() == [10, 5, 5, 0, 0, 0, 4]
    assert found.inside.tolist() == [True, True, True, False, False, True, True]
    assert found.cut.tolist() == [False, True, True, False, False, False, True]
