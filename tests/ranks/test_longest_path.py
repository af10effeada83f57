"""The longest path against every path there is, and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.ranks.longest_path import Dag

NODES = 6
EDGES = st.lists(st.tuples(st.integers(0, NODES - 2), st.integers(1, 3), st.integers(-4, 9)), max_size=12)


def every_length(edges: list[tuple[int, int, int]], node: int, so_far: int) -> list[int]:
    """Of all paths that go on from `node`."""
    lengths = [so_far]
    for begin, end, weight in edges:
        if begin == node:
            lengths += every_length(edges, end, so_far + weight)
    return lengths


@given(EDGES)
def test_no_path_is_longer(drawn: list[tuple[int, int, int]]) -> None:
    edges = [(begin, min(begin + step, NODES - 1), weight) for begin, step, weight in drawn]
    path = Dag(NODES, [b for b, _, _ in edges], [e for _, e, _ in edges]).longest([w for _, _, w in edges])
    assert path.length == max(max(every_length(edges, node, 0)) for node in range(NODES))
    assert path.length == sum(edges[edge][2] for edge in path.edges)
    for before, after in zip(path.edges, path.edges[1:], strict=False):
        assert edges[before][1] == edges[after][0]


def test_by_hand() -> None:
    """0 -5-> 1 -4-> 3, and 0 -8-> 2 -0-> 3: nine along 1; without its second edge eight along 2."""
    dag = Dag(4, [0, 1, 0, 2], [1, 3, 2, 3])
    assert (dag.longest([5, 4, 8, 0]).length, dag.longest([5, 4, 8, 0]).edges) == (9, (0, 1))
    assert dag.longest([5, 0, 8, 0]).length == 8


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        Dag(2, [0, 1], [1, 0])
