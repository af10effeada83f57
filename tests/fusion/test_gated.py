"""Gated layers as models write them: the gate's activation, then the other product, then their product."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from tests.fusion.live import matches, recorded
from tests.fusion.test_rules import MM, call, found, step

N = 64
BYTES = 4 * N * N


def test_a_layer_between_gate_and_product_is_no_hindrance(tmp_path: Path) -> None:
    x, gate, up = torch.rand(N, N), torch.rand(N, N), torch.rand(N, N)
    graph = recorded(lambda: F.silu(x @ gate) * (x @ up), tmp_path)
    (match,) = matches(graph, "gated_activation")
    assert [node.name for node in match.nodes] == ["silu", "mul"] and match.tier == "T1"
    assert match.bytes_saved == 2 * BYTES, "the activation's result is neither written nor read"


def test_what_backward_needs_is_still_written(tmp_path: Path) -> None:
    x = torch.rand(N, N)
    gate, up = (torch.rand(N, N, requires_grad=True) for _ in range(2))
    graph = recorded(lambda: (F.silu(x @ gate) * (x @ up)).sum().backward(), tmp_path)
    forward = [match for match in matches(graph, "gated_activation") if match.nodes[0].phase == "forward"]
    assert [match.bytes_saved for match in forward] == [BYTES]


def test_without_evidence_the_order_makes_it_likely() -> None:
    x = (4096, 4096)
    given = step(call("aten::silu", x), MM, call("aten::mul", x, x), MM, freed=False)
    assert found(given) == {"gated_activation": 1}


def test_another_size_is_no_gate() -> None:
    x = (4096, 4096)
    given = step(call("aten::silu", (64, 64)), MM, call("aten::mul", x, x), MM, freed=False)
    assert "gated_activation" not in found(given)
