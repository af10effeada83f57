"""Nesting against an O(n^2) twin, and the cases that its rules are for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.records.trace import above, distinct, nearest, places
from traceanalyzer.trace.linking import tree

Interval = tuple[int, int, int, bool]  # thread, start, end, annotation

intervals = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 25), st.booleans()).map(
        lambda t: (t[0], t[1], t[1] + t[2], t[3])
    ),
    max_size=25,
)


def sorted_rows(rows: list[Interval]) -> list[Interval]:
    return [rows[i] for i in sorted(range(len(rows)), key=lambda i: (rows[i][0], rows[i][1], -rows[i][2], i))]


def twin(rows: list[Interval], tolerance: int) -> tuple[list[int], list[int]]:
    """Parent and clamped end of each: the last earlier interval that is open and does not let go.

    What has let go of one lets go of all that begin later: it has ended.
    """
    parents: list[int] = []
    ends: list[int] = []
    ended: set[int] = set()
    for i, (thread, start, end, _) in enumerate(rows):
        parent = -1
        for j in reversed(range(i)):
            outlived, overlap = end - ends[j], ends[j] - start
            if rows[j][0] != thread or j in ended or overlap <= 0:
                continue
            free = outlived > tolerance if rows[j][3] else overlap <= tolerance and outlived > overlap
            if not (outlived > 0 and free):
                parent = j
                break
            ended.add(j)
        parents.append(parent)
        ends.append(min(end, ends[parent]) if parent >= 0 else end)
    return parents, ends


def nest(rows: list[Interval], tolerance: int) -> tree.Nesting:
    return tree.nest(
        np.array([r[0] for r in rows], np.int32), np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.int64), np.array([r[3] for r in rows], bool), tolerance,
    )  # fmt: skip


@settings(max_examples=400)
@given(intervals, st.sampled_from([0, 2]))
def test_nesting_is_the_twins(rows: list[Interval], tolerance: int) -> None:
    rows = sorted_rows(rows)
    found = nest(rows, tolerance)
    parents, ends = twin(rows, tolerance)
    assert found.parent.tolist() == parents
    assert found.end_ns.tolist() == ends


@given(intervals)
def test_order_is_by_thread_start_length_and_file(rows: list[Interval]) -> None:
    columns = [np.array([r[i] for r in rows], np.int64) for i in range(3)]
    found = tree.order(*columns)
    assert [rows[i] for i in found.tolist()] == sorted_rows(rows)


@given(st.sampled_from([3, 30, 2**40]).flatmap(lambda most: st.lists(st.integers(0, most))))
def test_places_are_those_among_the_distinct_values(values: list[int]) -> None:
    rows, place = places(np.array(values, np.int64))
    assert rows.tolist() == sorted(set(values))
    assert rows[place].tolist() == values


@given(
    st.sampled_from([3, 30, 100, 2**40]).flatmap(lambda most: st.lists(st.integers(-1 - most, most))),
    st.sampled_from([np.int8, np.int32, np.int64]),
)
def test_distinct_values_are_those_of_a_set(values: list[int], dtype: type[np.integer]) -> None:
    column = np.array(
        [value for value in values if np.iinfo(dtype).min <= value <= np.iinfo(dtype).max], dtype
    )
    found = distinct(column)
    assert found.tolist() == sorted(set(column.tolist()))
    assert found.dtype == dtype


@given(intervals)
def test_what_is_in_order_is_left_as_it_is(rows: list[Interval]) -> None:
    thread, start, end, _ = (np.array(column, np.int64) for column in zip(*rows, strict=True)) if rows else [
        np.zeros(0, np.int64)] * 4  # fmt: skip
    by_order = tree.order(thread, start, end)
    assert tree.is_in_order(thread, start, end) == (by_order.tolist() == list(range(len(rows))))
    assert tree.is_in_order(thread[by_order], start[by_order], end[by_order])


@given(intervals, st.lists(st.booleans(), min_size=25, max_size=25))
def test_nearest_marked_is_found_by_climbing(rows: list[Interval], flags: list[bool]) -> None:
    parent = nest(sorted_rows(rows), 0).parent
    marked = np.array(flags[: len(rows)], bool)
    near, proper = nearest(parent, marked), above(parent, marked)
    for row in range(len(rows)):
        at = row
        while at >= 0 and not marked[at]:
            at = parent[at]
        assert near[row] == at
        assert proper[row] == (near[parent[row]] if parent[row] >= 0 else -1)


@pytest.mark.parametrize(
    ("rows", "tolerance", "parents", "ends"),
    [
        # An op that ends after its encloser was cut by the clock: it ends with it.
        ([(0, 0, 10, False), (0, 4, 11, False)], 0, [-1, 0], [10, 10]),
        # Neighbors that touch are neighbors.
        ([(0, 0, 5, False), (0, 5, 9, False)], 1, [-1, -1], [5, 9]),
        # Neighbors whose clock makes them overlap are neighbors too, and keep their length.
        ([(0, 0, 6, False), (0, 5, 9, False)], 1, [-1, -1], [6, 9]),
        # A child that the clock makes a little too long is a child.
        ([(0, 0, 5, False), (0, 3, 6, False)], 1, [-1, 0], [5, 5]),
        # An annotation that is closed before the op begun in it does not enclose it.
        ([(0, 0, 10, True), (0, 4, 20, False), (0, 12, 15, False)], 0, [-1, -1, 1], [10, 20, 15]),
        # A step begun inside the annotation of the optimizer that ends it keeps its length.
        ([(0, 0, 10, True), (0, 9, 99, True), (0, 50, 60, False)], 0, [-1, -1, 1], [10, 99, 60]),
        # The same times on two threads do not enclose one another.
        ([(0, 0, 10, False), (1, 2, 4, False)], 0, [-1, -1], [10, 4]),
    ],
)
def test_rules_of_nesting(rows: list[Interval], tolerance: int, parents: list[int], ends: list[int]) -> None:
    found = nest(rows, tolerance)
    assert (found.parent.tolist(), found.end_ns.tolist()) == (parents, ends)
