"""What a module compiled as a whole moves, by hand: a normalization, a gate and a residual, trained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.fusion.live import recorded
from traceanalyzer.fusion.module_compile import compiled_together
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.suggestions import applied

ROWS, WIDTH = 256, 128
X = 4 * ROWS * WIDTH  # bytes of a tensor
ROOTS = 4 * ROWS  # of one number a row
VECTOR = 4 * WIDTH


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.scale = (torch.nn.Parameter(torch.rand(WIDTH)) for _ in range(2))

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        normed = self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))
        return (x + self.scale * (torch.sigmoid(gate) * gate * normed)).square().sum(-1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Match, Match]]]:
    """Of each rule and phase the matches on their own, and the same with everything compiled."""
    x, gate, g = torch.rand(ROWS, WIDTH), torch.rand(ROWS, WIDTH), torch.rand(ROWS)
    block = Block()

    def step() -> None:
        block(x, gate).backward(g)
        block.zero_grad()

    graph = recorded(step, tmp_path_factory.mktemp("block"))
    alone = list(applied(graph))
    pairs: dict[str, list[tuple[Match, Match]]] = {}
    for (rule, before), (_, after) in zip(alone, compiled_together(graph, alone), strict=True):
        for one, other in zip(before, after, strict=True):
            if rule.replacement == "compiled":
                pairs.setdefault(str(one.nodes[0].phase), []).append((one, other))
    return pairs


def moved(pairs: list[tuple[Match, Match]]) -> int:
    return sum(other.after.bytes for _, other in pairs if other.after)


def test_a_compiled_forward_pass_reads_its_inputs_and_keeps_what_it_reduces(
    found: dict[str, list[tuple[Match, Match]]],
) -> None:
    least = 2 * X + 2 * VECTOR + ROOTS  # x, gate, weight and scale read; a number a row written
    assert least <= moved(found["forward"]) <= least + 3 * ROOTS, "the roots are kept for the backward pass"


def test_a_compiled_backward_pass_computes_again_what_it_would_read(
    found: dict[str, list[tuple[Match, Match]]],
) -> None:
    least = 2 * X + 2 * VECTOR + ROOTS  # x, gate, both vectors, a gradient a row; two vectors are written
    assert least <= moved(found["backward"]) <= least + 4 * VECTOR + 3 * ROOTS


def test_alone_each_counts_what_passes_between_as_written_and_read(
    found: dict[str, list[tuple[Match, Match]]],
) -> None:
    for pairs in (found["forward"], found["backward"]):
        for alone, whole in pairs:
            assert (
                whole.compiled_with_neighbors
                and alone.after
                and whole.after
                and whole.after.bytes < alone.after.bytes
            )
            assert whole.after.share <= alone.after.share
            assert sum(node.bytes for node in whole.nodes) >= (whole.bytes_saved or 0) + whole.after.bytes


def test_what_is_computed_again_costs_its_exponentials_again(
    found: dict[str, list[tuple[Match, Match]]],
) -> None:
    more: Iterator[int] = (
        whole.after.special_flops - alone.after.special_flops
        for alone, whole in found["backward"] if alone.after and whole.after
    )  # fmt: skip
    assert sum(more) > 0
