"""The timeline against a walk over every nanosecond, and its sums."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.records import IDLE_CAUSES, VERDICTS
from traceanalyzer.records.judged import IdleTimes
from traceanalyzer.records.timeline import MOST_BINS, MOST_STEPS
from traceanalyzer.records.trace import PHASES, Step, Window
from traceanalyzer.roofline.attribution import attribute
from traceanalyzer.roofline.timeline import Bins, timeline

RECORDS = 5


def step(number):
    return Step(f"ProfilerStep#{number}", number, 0, 1)


def column(*values, dtype=np.int64):
    return np.array(values, dtype)


def made(window, intervals, ranks, verdicts, phases, causes):
    table = np.array(intervals, np.int64).reshape(-1, 3)
    bins = Bins.of(window)
    found = attribute(
        table[:, 0], table[:, 1], table[:, 2].astype(np.int32), np.array(ranks, np.int8), bins.cuts
    )
    gaps, since = [], None
    for t in range(window.start_ns, window.end_ns + 1):
        idle = t < window.end_ns and not any(s <= t < e for s, e, _ in intervals)
        if idle and since is None:
            since = t
        if not idle and since is not None:
            gaps.append((since, t))
            since = None
    codes = [causes[i % len(causes)] for i in range(len(gaps))]
    spans = np.array(gaps, np.int64).reshape(-1, 2)
    idle = IdleTimes(spans[:, 0], spans[:, 1], np.array(codes, np.int8), np.full(len(gaps), -1, np.int32))
    entries = timeline(bins, found, np.array(verdicts, np.int8), np.array(phases, np.int8), idle)
    return entries, [(s, e, c) for (s, e), c in zip(gaps, codes, strict=True)]


def owner_of_each_ns(window, intervals, ranks):
    """Of a segment with k owners the ns take turns: the first goes to the first of them."""
    owners, before, since = {}, None, 0
    for t in range(window.start_ns, window.end_ns):
        running = tuple(sorted({r for s, e, r in intervals if s <= t < e}))
        spans = frozenset(i for i, (s, e, _) in enumerate(intervals) if s <= t < e)
        if (running, spans) != before and running != (before[0] if before else None):
            since = t
        before = (running, spans)
        top = [r for r in running if ranks[r] == min(ranks[r] for r in running)]
        owners[t] = top[(t - since) % len(top)] if top else None
    return owners


cases = st.tuples(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(0, RECORDS - 1)), max_size=8),
    st.lists(st.integers(0, 2), min_size=RECORDS, max_size=RECORDS),
    st.lists(st.integers(0, len(VERDICTS) - 1), min_size=RECORDS, max_size=RECORDS),
    st.lists(st.integers(-1, len(PHASES) - 1), min_size=RECORDS, max_size=RECORDS),
    st.lists(st.integers(0, len(IDLE_CAUSES) - 1), min_size=1, max_size=4),
    st.lists(st.integers(0, 90), min_size=2, max_size=5),
    st.sampled_from([1, 7, 13]),
)


@settings(max_examples=150, deadline=None)
@given(cases)
def test_every_bin_is_what_its_nanoseconds_were(case):
    spans, ranks, verdicts, phases, causes, edges, scale = case
    intervals = sorted((s * scale, (s + n) * scale, r) for s, n, r in spans)
    owned = {}  # intervals of one record are apart, as pieces of a record are
    kept = []
    for s, e, r in intervals:
        if s >= owned.get(r, -1):
            kept.append((s, e, r))
            owned[r] = e + 1
    cuts = tuple(sorted(edge * scale for edge in edges))
    window = Window(cuts, tuple(map(step, range(len(cuts) - 1))))
    entries, gaps = made(window, kept, ranks, verdicts, phases, causes)
    owners = owner_of_each_ns(window, kept, ranks)
    assert [entry.step for entry in entries] == [each.name for each in window.steps]
    for entry, (left, right) in zip(entries, pairwise(cuts), strict=True):
        length = right - left
        assert entry.bin_ns == max(1, -(-length // MOST_BINS))
        count = -(-length // entry.bin_ns)
        assert len(entry.phase) == count
        assert all(len(part.time_ns) == count for part in entry.parts)
        wanted = [Counter() for _ in range(count)]
        by_phase = [Counter() for _ in range(count)]
        for t in range(left, right):
            at, record = (t - left) // entry.bin_ns, owners[t]
            if record is None:
                cause = next(c for s, e, c in gaps if s <= t < e)
                wanted[at]["idle", IDLE_CAUSES[cause]] += 1
            else:
                wanted[at]["verdict", VERDICTS[verdicts[record]]] += 1
                by_phase[at][phases[record]] += 1
        found = [Counter() for _ in range(count)]
        for part in entry.parts:
            assert any(part.time_ns)
            for at, ns in enumerate(part.time_ns):
                if ns:
                    found[at][part.kind, part.name] += ns
        assert found == wanted
        for at, name in enumerate(entry.phase):
            code = PHASES.index(name) if name else -1
            assert not by_phase[at] or by_phase[at][code] == max(by_phase[at].values())


def test_one_bin_by_hand():
    """A step of 961 ns has bins of 3 ns, 321 of them; the last holds one."""
    window = Window((1000, 1961), (step(7),))
    (entry,), _ = made(window, [(1002, 1004, 0), (1003, 1960, 1)], [1, 0, 0, 0, 0], [3, 0, 0, 0, 0],
                       [1, 0, 0, 0, 0], [2])  # fmt: skip
    assert entry.bin_ns == 3
    assert len(entry.phase) == 321
    parts = {part.name: part.time_ns for part in entry.parts}
    # 1000, 1001 idle, 1002 communication; then compute, which also owns 1003, to 1960: one ns idle.
    assert parts[IDLE_CAUSES[2]] == (2, *[0] * 319, 1)
    assert parts["communication"] == (1, *[0] * 320)
    assert parts[VERDICTS[0]] == (0, *[3] * 319, 0)
    assert entry.phase[:2] == ("backward", "forward")
    assert entry.phase[-1] is None


def test_of_many_steps_the_window_has_the_bins():
    cuts = tuple(range(0, 10 * (MOST_STEPS + 2), 10))
    window = Window(cuts, tuple(map(step, range(len(cuts) - 1))))
    bins = Bins.of(window)
    assert bins.names == (None,)
    found = attribute(column(5), column(27), column(0, dtype=np.int32), column(0, dtype=np.int8), bins.cuts)
    by_step = bins.by_step(found)
    assert [int(by_step.time_ns[by_step.step == n].sum()) for n in range(4)] == [5, 10, 7, 0]


def test_a_window_without_length_has_no_bins():
    (entry,), _ = made(Window((5, 5), ()), [], [0] * 5, [0] * 5, [0] * 5, [0])
    assert (entry.step, entry.parts, entry.phase) == (None, (), ())
