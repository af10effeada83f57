"""What `verify` rebuilds beside the largest match: the module that holds it, and backward passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fusion.live import recorded
from tests.fusion.rules.test_unfused_attention import attention, gradients
from tests.fusion.scenes import found_by, op, scene, within
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records.errors import UsageError
from traceanalyzer.verify.modules import call_of_module
from traceanalyzer.verify.trained import backward_matches, differentiating, trained
from traceanalyzer.verify.verify import rebuilt

X = (64, 64)


def block(number: int) -> list[object]:
    products = [op("mm", X, X), op("gelu", X), op("mm", X, X)]
    return list(within(f"blocks.{number}.mlp", *products))


def match_of(graph: StepGraph, place: int) -> Match:
    return Match((graph.nodes[place],), "T1")


def test_one_call_of_the_module_is_rebuilt_and_none_of_its_neighbors() -> None:
    items = [op("exp", X), *block(0), *within("blocks.0.norm", op("exp", X)), *block(0), *block(1)]
    graph = scene(*items)  # type: ignore[arg-type]
    path, nodes = call_of_module(graph, match_of(graph, 2))
    assert path == "blocks.0.mlp" and [node.place for node in nodes] == [1, 2, 3]
    both = Match((graph.nodes[2], graph.nodes[4]), "T1")
    path, nodes = call_of_module(graph, both)
    assert path == "blocks.0" and [node.place for node in nodes] == list(range(1, 8))


def test_without_modules_it_says_what_to_record() -> None:
    graph = scene(op("exp", X), op("gelu", X))
    with pytest.raises(UsageError, match="names no module"):
        call_of_module(graph, match_of(graph, 0))


def test_attention_is_tried_with_the_backward_pass_of_its_own() -> None:
    graph = scene(*attention(), *gradients(), steps=2)
    forward, backward = found_by(graph, "unfused_attention")
    assert backward_matches(graph, forward, [forward, backward]) == (backward,)
    assert backward_matches(graph, backward, [forward, backward]) == ()
    assert {node.phase for node in differentiating(graph, forward.nodes)} == {"backward"}


def test_gradients_of_a_rebuilt_chain_are_those_of_autograd(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8))

    def step() -> object:
        model(torch.rand(4, 8)).sum().backward()
        return None

    graph = recorded(step, tmp_path)
    tanh = next(node for node in graph.nodes if node.name == "tanh")
    path, nodes = call_of_module(graph, Match((tanh,), "T1"))
    assert path == "1" and [node.name for node in differentiating(graph, nodes)] == ["tanh_backward"]
    program = trained(rebuilt(graph, nodes, "cpu"))
    (x,) = program.inputs
    (gradient,) = program.run(x)
    torch.testing.assert_close(gradient, 1 - torch.tanh(x.detach()) ** 2)
