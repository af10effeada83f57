"""What only looks proved: tensors from before the recording, changed ones, parts; each is run, none is T2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from tests.fusion.live import recorded
from traceanalyzer.cost.price import price
from traceanalyzer.fusion.evidence.dataflow import Edge, dataflow
from traceanalyzer.fusion.step_graph import StepGraph

N = 256
X, Y, BIG = torch.rand(N, N), torch.rand(N, N), torch.rand(N, 4 * N)


def kept_beside_another() -> object:
    return X.exp(), Y + 1


def averaged() -> object:
    h = X.exp()
    Y.mul_(0.9).add_(X)
    return h


def copied_over() -> object:
    h = X.exp()
    h.copy_(Y)
    return h.log()


def a_part_changed() -> object:
    h = X.exp()
    BIG[:, :N].add_(1)
    return h.log(), h


def blind(graph: StepGraph) -> tuple[Edge, ...]:
    """Edges as they are told without an executed step."""
    trace = replace(graph.trace, evidence=None)
    return dataflow(price(trace), graph.step).edges


@pytest.mark.parametrize("step", [kept_beside_another, averaged, copied_over, a_part_changed])
def test_no_edge_is_proved_that_is_not_so(tmp_path: Path, step: Callable[[], object]) -> None:
    graph = recorded(step, tmp_path)
    assert graph.executed
    truth = {(edge.producer, edge.consumer) for edge in graph.edges}
    said = {(edge.producer, edge.consumer) for edge in blind(graph) if edge.tier == "T2"}
    assert said <= truth, [(graph.nodes[a].name, graph.nodes[b].name) for a, b in said - truth]


def test_what_an_executed_step_refutes_is_no_edge(tmp_path: Path) -> None:
    graph = recorded(kept_beside_another, tmp_path)
    assert {edge.tier for edge in graph.edges} <= {"T1"}
