"""Grouping primitives against brute-force twins."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.roofline.invocations import (
    combine,
    longest_by_group,
    median_by_group,
    numbered,
    union_by_group,
)

members = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60), st.integers(0, 30)), max_size=30)


def columns(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    group = np.array([r[0] for r in rows], np.int32)
    start = np.array([r[1] for r in rows], np.int64)
    return group, start, start + np.array([r[2] for r in rows], np.int64)


@given(members)
def test_union_is_the_number_of_covered_nanoseconds(rows: list[tuple[int, int, int]]) -> None:
    group, start, end = columns(rows)
    expected = [
        len({t for g, s, d in rows if g == wanted for t in range(s, s + d)}) for wanted in range(5)
    ]  # fmt: skip
    assert union_by_group(group, start, end, 5).tolist() == expected


def test_union_of_many_groups_in_a_long_trace() -> None:
    """100,000 groups in a day: groups times length is beyond 64 bits."""
    number, day = 100_000, 86_400 * 10**9
    begin = np.linspace(0, day - 1000, number).astype(np.int64)
    group = np.tile(np.arange(number, dtype=np.int32), 2)
    start, end = np.concatenate((begin, begin + 300)), np.concatenate((begin + 400, begin + 1000))
    assert union_by_group(group, start, end, number).tolist() == [1000] * number


@given(members)
def test_median_is_the_lower_middle_of_the_eligible(rows: list[tuple[int, int, int]]) -> None:
    group, start, end = columns(rows)
    value, eligible = end - start, start % 3 != 0
    found = median_by_group(group, value, eligible, 5)
    for wanted in range(5):
        ours = sorted(int(v) for v, g, e in zip(value, group, eligible, strict=True) if g == wanted and e)
        if not ours:
            assert found[wanted] == -1
        else:
            assert value[found[wanted]] == ours[(len(ours) - 1) // 2]
            assert eligible[found[wanted]] and group[found[wanted]] == wanted


@given(st.lists(st.integers(0, 9), min_size=5, max_size=30))
def test_longest_member(durations: list[int]) -> None:
    group = np.arange(len(durations), dtype=np.int32) % 5
    found = longest_by_group(group, np.array(durations, np.int64), 5)
    for wanted in range(5):
        ours = durations[wanted::5]
        assert durations[found[wanted]] == max(ours) and group[found[wanted]] == wanted


@given(st.lists(st.tuples(*[st.integers(0, 2**20)] * 5), min_size=1, max_size=20))
def test_combined_keys_are_equal_only_for_equal_rows(rows: list[tuple[int, ...]]) -> None:
    key = combine(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            assert (key[i] == key[j]) == (one == other)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 3, 5, 900, 901, 2**61, 2**61 + 3]), max_size=20))
def test_numbers_of_keys_against_a_set(keys):
    first, number = numbered(np.array(keys, np.int64))
    values = sorted(set(keys))
    assert first.tolist() == [keys.index(value) for value in values]
    assert number.tolist() == [values.index(key) for key in keys]
