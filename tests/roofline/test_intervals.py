"""Sets of instants against sets of Python, all at once and some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.records import stretches
from traceanalyzer.roofline.intervals import (
    Intervals,
    common,
    covered,
    disjoint,
    joined,
    merged,
    time_in,
    without,
)

LAST = 60
ends = st.lists(st.integers(0, LAST), max_size=24, unique=True).map(sorted)
Row = tuple[int, int, int]


def of(moments: Sequence[int], first_row: int = 0) -> Intervals:
    """Disjoint intervals between every other two of these moments, with rows of their own."""
    count = len(moments) // 2
    pairs = np.array(moments[: 2 * count], np.int64).reshape(-1, 2)
    return Intervals(pairs[:, 0], pairs[:, 1], np.arange(first_row, first_row + count, dtype=np.int32))


def rows(given: Intervals) -> list[Row]:
    return list(zip(given.start_ns.tolist(), given.end_ns.tolist(), given.row.tolist(), strict=True))


def instants(given: Intervals) -> dict[int, int]:
    """Of each instant the row; every instant once."""
    found = [(instant, row) for start, end, row in rows(given) for instant in range(start, end)]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.fixture(params=[1, 2, stretches.AT_ONCE])
def at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stretches, "AT_ONCE", request.param)
        yield


@pytest.mark.usefixtures("at_once")
class TestInstants:
    @settings(max_examples=100, deadline=None)
    @given(ends, ends)
    def test_common(self, first: list[int], second: list[int]) -> None:
        these, other = of(first), of(second, 100)
        pieces, which = common(these, other)
        mine, theirs = instants(these), instants(other)
        assert instants(pieces) == {at: theirs[at] for at in mine.keys() & theirs.keys()}
        placed = Intervals(pieces.start_ns, pieces.end_ns, which)
        assert instants(placed) == {at: mine[at] for at in mine.keys() & theirs.keys()}
        assert pieces.start_ns.tolist() == sorted(pieces.start_ns.tolist())

    @settings(max_examples=100, deadline=None)
    @given(ends, ends)
    def test_without(self, first: list[int], second: list[int]) -> None:
        these, other = of(first), of(second)
        theirs = instants(other)
        left = without(these, other)
        assert instants(left) == {at: row for at, row in instants(these).items() if at not in theirs}
        assert all(end > start for start, end, _ in rows(left))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(ends, min_size=1, max_size=4))
    def test_merged(self, moments: list[list[int]]) -> None:
        """As `disjoint` has it, which looks at all of them at once."""
        parts = [of(each, 100 * number) for number, each in enumerate(moments)]
        every = [np.concatenate([getattr(part, name) for part in parts])
                 for name in ("start_ns", "end_ns", "row")]  # fmt: skip
        assert rows(merged(*parts)) == rows(disjoint(*every))

    @settings(max_examples=100, deadline=None)
    @given(ends, st.data())
    def test_joined(self, moments: list[int], data: st.DataObject) -> None:
        whole = of(moments)
        dealt = [data.draw(st.integers(0, 2)) for _ in range(len(whole))]
        parts = [whole.chosen(np.flatnonzero(np.array(dealt, np.int64) == hand)) for hand in range(3)]
        assert rows(joined(*parts)) == rows(whole)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(ends, min_size=1, max_size=4))
    def test_covered(self, moments: list[list[int]]) -> None:
        parts = [of(each) for each in moments]
        whole = covered(*parts)
        assert set(instants(whole)) == {at for part in parts for at in instants(part)}
        assert (whole.start_ns[1:] > whole.end_ns[:-1]).all()
        assert (whole.end_ns > whole.start_ns).all() and (whole.row == -1).all()

    @settings(max_examples=100, deadline=None)
    @given(ends, ends)
    def test_time_in(self, first: list[int], second: list[int]) -> None:
        these, other = of(first), of(second)
        theirs = instants(other)
        inside = [sum(at in theirs for at in range(start, end)) for start, end, _ in rows(these)]
        assert time_in(these, other).tolist() == inside
