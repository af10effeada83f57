"""The longest path through a graph whose edges have lengths, some of them below 0."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Path(msgspec.Struct, frozen=True):
    """Its length, and its edges from the first to the last."""

    length: int
    edges: tuple[int, ...]


class Dag:
    """A graph without cycles; edge i leads from node `begin[i]` to node `end[i]`."""

    def __init__(self, nodes: int, begin: Sequence[int], end: Sequence[int]) -> None:
        """ValueError where there is a cycle. O(nodes + edges)."""
        self._nodes, self._begin, self._end = nodes, list(begin), list(end)
        self._order = self._sorted_edges()

    def longest(self, weight: Sequence[int]) -> Path:
        """From any node to any other; of several alike one of them, always the same. O(nodes + edges)."""
        distance, via = [0] * self._nodes, [-1] * self._nodes
        begin, end = self._begin, self._end
        for edge in self._order:
            there = distance[begin[edge]] + weight[edge]
            if there > distance[end[edge]]:
                distance[end[edge]], via[end[edge]] = there, edge
        length = max(distance, default=0)
        edges = []
        if length:
            node = distance.index(length)
            while via[node] >= 0:
                edges.append(via[node])
                node = begin[via[node]]
        return Path(length, tuple(reversed(edges)))

    def _sorted_edges(self) -> list[int]:
        """Every edge behind all that lead to where it begins."""
        leaving: list[list[int]] = [[] for _ in range(self._nodes)]
        missing = [0] * self._nodes
        for edge, (begin, end) in enumerate(zip(self._begin, self._end, strict=True)):
            leaving[begin].append(edge)
            missing[end] += 1
        ready = [node for node in range(self._nodes) if not missing[node]]
        order: list[int] = []
        for node in ready:
            for edge in leaving[node]:
                order.append(edge)
                missing[self._end[edge]] -= 1
                if not missing[self._end[edge]]:
                    ready.append(self._end[edge])
        if len(order) < len(self._begin):
            raise ValueError("what waits for what goes round in a circle")
        return order
