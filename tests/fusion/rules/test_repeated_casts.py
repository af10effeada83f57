"""Casts of one tensor to one type, more than once per step."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import found_by, handed, op, scene
from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records.trace import PHASES

N = 1024 * 4096
WEIGHT: Tensor = (-1, (1, 0, 4 * N))
OTHER: Tensor = (-2, (2, 0, 4 * N))


def casts(*sources: Tensor, types: tuple[str, ...] = ("bf16", "bf16", "bf16")) -> StepGraph:
    x = (1024, 4096)
    items = [op("copy_", x, x, (), dtypes=(kind, "fp32", None)) for kind in types[: len(sources)]]
    return handed(scene(*items), tensors={(place, 1): source for place, source in enumerate(sources)})


def test_all_casts_but_the_first_are_repeated() -> None:
    (match,) = found_by(casts(WEIGHT, OTHER, WEIGHT), "repeated_casts")
    assert [node.place for node in match.nodes] == [2] and match.tier == "T1"
    assert match.bytes_saved == (4 + 2) * N, "fp32 is read, bf16 is written"
    assert match.saved is not None and 0 < match.saved.low < match.saved.high == match.nodes[0].time_ns
    assert "1 casts per step" in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("graph", [
    casts(WEIGHT, OTHER),
    casts(WEIGHT, WEIGHT, types=("bf16", "fp16")),
    casts(WEIGHT, WEIGHT, types=("fp32", "fp32")),  # copies
    casts(WEIGHT, (0, WEIGHT[1])),                  # the same memory, which an operator has written
], ids=["tensors", "types", "copies", "written in between"])  # fmt: skip
def test_each_cast_is_needed(graph: StepGraph) -> None:
    assert not found_by(graph, "repeated_casts")


@pytest.mark.left_out
def test_a_checkpoint_repeats_its_casts_on_purpose() -> None:
    graph = casts(WEIGHT, WEIGHT)
    first, again = graph.nodes
    assert "recompute" in PHASES
    assert not found_by(replace(graph, nodes=(first, replace(again, phase="recompute"))), "repeated_casts")


@pytest.mark.left_out
def test_without_known_tensors_nothing_is_repeated() -> None:
    assert not found_by(handed(casts(WEIGHT, WEIGHT), tensors={(0, 0): WEIGHT}), "repeated_casts")
