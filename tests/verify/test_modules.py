"""What `verify` rebuilds beside the largest match: the module that holds it, and backward passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fusion.live import recorded
from tests.fusion.rules.test_unfused_attention import attention, gradients
from tests.fusion.scenes import backward, found_by, op, scene, within
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records.errors import UsageError
from traceanalyzer.verify.modules import call_of_module, module_trial, verified_module
from traceanalyzer.verify.replay import Replay
from traceanalyzer.verify.trained import backward_matches, differentiated, differentiating, trained
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


class Block(torch.nn.Module):
    """Batch norm and a skip connection in training, as in a residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)) + x)


@pytest.fixture(scope="module")
def in_training(tmp_path_factory: pytest.TempPathFactory) -> StepGraph:
    model = torch.nn.Sequential(Block(), torch.nn.Flatten(), torch.nn.Linear(256, 3))
    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))

    def step() -> None:
        loss(model(torch.rand(2, 4, 8, 8)), torch.tensor([0, 2])).backward()

    return recorded(step, tmp_path_factory.mktemp("in_training"))


def test_running_statistics_of_batch_norm_get_no_gradient(in_training: StepGraph) -> None:
    norm = next(node for node in in_training.nodes if node.name == "native_batch_norm")
    program = trained(rebuilt(in_training, [norm], "cpu"))
    x, weight, bias, *running = program.inputs
    got = program.run(*program.inputs)
    leaves = [value.detach().requires_grad_() for value in (x, weight, bias)]
    result = torch.nn.functional.batch_norm(
        leaves[0], running[0].clone(), running[1].clone(), leaves[1], leaves[2], training=True
    )
    wanted = torch.autograd.grad(result, leaves, torch.ones_like(result))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_a_convolution_is_rebuilt_as_what_has_a_gradient(in_training: StepGraph) -> None:
    (node,) = (node for node in in_training.nodes if "convolution" in node.name and node.phase == "forward")
    program = trained(rebuilt(in_training, [node], "cpu"))
    x, weight = (value.detach().requires_grad_() for value in program.inputs)
    result = torch.nn.functional.conv2d(x, weight, padding=1)
    wanted = torch.autograd.grad(result, (x, weight), torch.ones_like(result))
    torch.testing.assert_close(program.run(*program.inputs), wanted)


def test_weights_of_classes_get_no_gradient(in_training: StepGraph) -> None:
    nodes = [node for node in in_training.nodes if node.name in ("_log_softmax", "nll_loss_forward")]
    program = trained(rebuilt(in_training, nodes, "cpu"))
    assert [value.requires_grad for value in program.inputs if value.is_floating_point()] == [True, False]
    (gradient,) = program.run(*program.inputs)
    assert torch.isfinite(gradient).all()


def test_a_match_of_the_backward_pass_is_tried_with_the_module_that_it_differentiates(
    in_training: StepGraph,
) -> None:
    norm = next(node for node in in_training.nodes if node.name == "native_batch_norm_backward")
    forward = differentiated(in_training, Match((norm,), "T1"))
    assert [node.name for node in forward.nodes] == ["native_batch_norm"]
    path, nodes = call_of_module(in_training, forward)
    assert path == "0.norm" and {node.phase for node in nodes} == {"forward"}
    same = Match((in_training.nodes[forward.nodes[0].place],), "T1")
    assert differentiated(in_training, same) is same


def test_gradients_of_nobody_are_refused() -> None:
    graph = scene(backward("MulBackward0", op("mul", X, X)))
    with pytest.raises(UsageError, match="which forward pass it differentiates is not recorded"):
        differentiated(graph, match_of(graph, 0))


def test_a_module_that_does_not_compile_is_told(
    in_training: StepGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*inputs: object) -> object:
        raise RuntimeError("no compiler here\nand more")

    monkeypatch.setattr(torch, "compile", lambda run, **options: refuse)
    node = next(node for node in in_training.nodes if node.name == "native_batch_norm")
    with pytest.raises(UsageError, match="no compiler here"):
        verified_module(
            in_training, module_trial(in_training, Match((node,), "T1"), "cpu"), in_training.device, 1e3
        )


def test_what_cannot_be_differentiated_is_told() -> None:
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x.log_() * x

    with pytest.raises(UsageError, match="leaf Variable"):
        trained(Replay(twice, (torch.rand(4),)))
