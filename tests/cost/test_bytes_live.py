"""Priced bytes are those that operators truly read and write, watched while small models are trained."""

from __future__ import annotations

import pytest

from tests.cost.live import Pair, Seen, watched
from tests.cost.trainings import trainings
from tests.cost.truths import compare
from traceanalyzer.records import OpCall


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Each distinct recorded call, with what it did."""
    found: dict[OpCall, Seen] = {}
    for number, training in enumerate(trainings()):
        found.update(watched(training, tmp_path_factory.mktemp("live") / f"{number}.json"))
    return list(found.items())


UNPRICED = {"aten::randint"}  # its size is an argument that is not among the recorded dims


def test_bytes(pairs: list[Pair]) -> None:
    compared = compare(pairs, UNPRICED)
    assert not compared.wrong, "\n".join(compared.wrong)
    assert len(compared.calls) >= 300 and len({call.name for call in compared.calls}) >= 100
