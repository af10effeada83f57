"""Which results autocast leaves in bf16, and what it casts for that: by hand, and beside PyTorch's own."""

from __future__ import annotations

import pytest
import torch

from tests.fusion.live import recorded
from tests.fusion.scenes import Item, backward, handed, op, scene
from traceanalyzer.fusion.rules.autocast import cast_bytes, half_results
from traceanalyzer.fusion.step_graph import StepGraph

X, GAMMA = (512, 256), (256,)
N = 512 * 256
MM = op("mm", X, (256, 256))


def reading(*items: Item, first: int, second: int = -1) -> StepGraph:
    """A product, and behind it operators of which the last takes these two: places, or -1 for a weight."""
    graph = scene(MM, *items, on_cpu=True)
    last = len(items)
    given = {(last, 0): (first, (1, 0, 4 * N)), (last, 1): (second, (2, 0, 4 * N))}
    pairs = [(place, last) for place in (first, second) if place >= 0]
    return handed(graph, *pairs, tensors=given)


def test_a_result_in_bf16_that_meets_a_weight_in_fp32_is_wide() -> None:
    """512 x 256 results of the product are copied to fp32 first; the product's operands are cast anyway."""
    graph = reading(op("mul", X, GAMMA), first=0)
    assert half_results(graph) == {0}
    assert cast_bytes(graph, graph.nodes, frozenset({0})) == 6 * (N + 256 * 256) + 6 * N


def test_two_results_in_bf16_make_a_third() -> None:
    graph = reading(MM, op("mul", X, X), first=0, second=1)
    assert half_results(graph) == {0, 1, 2}
    assert cast_bytes(graph, graph.nodes, half_results(graph)) == 2 * 6 * (N + 256 * 256)


@pytest.mark.parametrize("item", [op("native_layer_norm", X, GAMMA, GAMMA), op("add_", X, X)], ids=str)
def test_what_is_normalized_or_changed_decides_alone(item: Item) -> None:
    graph = reading(item, first=0)
    assert half_results(graph) == {0, 1}
    assert cast_bytes(graph, graph.nodes, half_results(graph)) == 6 * (N + 256 * 256)


def test_losses_are_wide() -> None:
    assert half_results(reading(op("mse_loss", X, X), first=0)) == {0}


def test_gradients_are_cast_back_where_operands_were() -> None:
    """As much again: what is cast forward has a gradient in bf16, which is cast to fp32."""
    inferred = scene(MM, on_cpu=True)
    trained = scene(MM, backward("MmBackward0", op("mm", X, (256, 256))), on_cpu=True)
    assert (
        cast_bytes(trained, trained.nodes, frozenset())
        == 2 * cast_bytes(inferred, inferred.nodes, frozenset())
        > 0
    )


def test_a_step_under_autocast_has_these_types(tmp_path: pytest.TempPathFactory) -> None:
    """Recorded in fp32, then run in bf16: layers, what follows them, and a weight that widens."""
    torch.manual_seed(0)
    first, second, norm = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64), torch.nn.LayerNorm(64)
    scale, x = torch.rand(64), torch.rand(128, 64)

    def results() -> list[torch.Tensor]:
        made = [first(x)]
        made.append(torch.tanh(made[-1]))
        made.append(norm(made[-1]))
        made.append(made[-1] * scale)
        made.append(second(made[-1]))
        made.append(made[-1] + made[0])
        made.append(made[-1] + x)
        return made

    with torch.no_grad():
        graph = recorded(results, tmp_path)  # type: ignore[arg-type]
        with torch.autocast("cpu", torch.bfloat16):
            types = [each.dtype for each in results()]
    half = half_results(graph)
    assert [torch.bfloat16 if node.place in half else torch.float32 for node in graph.nodes] == types
