"""Pipelines: ranks that send to one another and do unlike work wait by their schedule, not for a slow one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from traceanalyzer.ranks.matching import Match
from traceanalyzer.records.rank_work import RankWork


class Stages(msgspec.Struct, frozen=True):
    """Which devices are stages of one pipeline."""

    pipeline: dict[int, int]  # device -> its pipeline

    def crossed_by(self, match: Match) -> bool:
        """Whether two stages of one pipeline take part in it."""
        pipelines = [self.pipeline[call.device] for call in match.calls if call.device in self.pipeline]
        return len(set(pipelines)) < len(pipelines)

    @property
    def any(self) -> bool:
        """Whether there is a pipeline at all."""
        return bool(self.pipeline)


def stages_of(
    matches: Iterable[Match], ranks: Sequence[RankWork], unpaired: Mapping[tuple[int, ...], set[int]]
) -> Stages:
    """Of devices that send to one another, those in a row; in a ring or a pair, those whose shapes differ.

    A ring whose ranks do the same work, as of context parallelism, is none. `unpaired`: devices that send to
    one another where the trace does not say which to which.
    """
    neighbors: dict[int, set[int]] = defaultdict(set)
    for match in matches:
        if match.group.transfers:
            first, other = (call.device for call in match.calls)
            neighbors[first].add(other)
            neighbors[other].add(first)
    for devices in unpaired.values():
        first, *rest = sorted(devices)
        for other in rest:
            neighbors[first].add(other)
            neighbors[other].add(first)
    pairs = not unpaired
    pipeline: dict[int, int] = {}
    left = set(neighbors)
    while left:
        root = min(left)
        part = _reached(root, neighbors)
        left -= part
        links = sum(len(neighbors[device]) for device in part) // 2
        in_a_row = pairs and len(part) > 2 and links < len(part)
        if in_a_row or _unlike([ranks[device] for device in part]):
            pipeline |= dict.fromkeys(part, root)
    return Stages(pipeline)


def _reached(root: int, neighbors: dict[int, set[int]]) -> set[int]:
    part, border = {root}, [root]
    while border:
        new = neighbors[border.pop()] - part
        part |= new
        border += new
    return part


def _unlike(ranks: Sequence[RankWork]) -> bool:
    """Whether some do other work than the first; no more of it is held than of two."""
    first = contractions_of(ranks[0])
    return any(work.forms is not ranks[0].forms and contractions_of(work) != first for work in ranks[1:])


def contractions_of(work: RankWork) -> frozenset[tuple[str, str]]:
    """Those with their shapes: equal for ranks that do the same work."""
    return frozenset(
        (form.name, form.shape) for form in work.forms if form.operator_class == "tensor_contraction"
    )
