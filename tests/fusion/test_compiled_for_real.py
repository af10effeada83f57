"""What we call one region against what PyTorch's compiler makes of the same code on this machine's CPU."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch._inductor.utils import get_code

from tests.fusion.live import recorded
from traceanalyzer.fusion.regions import Region, regions
from traceanalyzer.fusion.step_graph import Free

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch's compiler needs one for C++"),
]

NODES, EDGES, WIDTH = 500, 3000, 64
H, M = torch.rand(NODES, WIDTH), torch.rand(EDGES, WIDTH)
INDEX, OTHER = (torch.randint(0, NODES, (EDGES,)) for _ in range(2))
EACH = torch.randint(0, NODES, (EDGES, WIDTH))
ZEROS = torch.zeros(NODES, WIDTH)


def message(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(h.index_select(0, INDEX) * m)


def passing(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    return ZEROS.index_add(0, OTHER, torch.sigmoid(h.index_select(0, INDEX) * m))


def by_element(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(h.gather(0, EACH) * m) + m


def side_by_side(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    return torch.cat((torch.sigmoid(m) * m, torch.tanh(m) + m), -1)


def called(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    return ZEROS.scatter_add(0, EACH, torch.sigmoid(m * m))


def scanned(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid((m * m).cumsum(0)) * m


Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# The functions, their region, and loops and calls of ATen that the compiler generates.
CASES: list[tuple[Step, list[tuple[str, ...]], int, int]] = [
    (message, [("index_select", "mul", "sigmoid")], 1, 0),
    (passing, [("index_select", "mul", "sigmoid", "index_add")], 1, 0),
    (by_element, [("gather", "mul", "sigmoid", "add")], 1, 0),
    (side_by_side, [("sigmoid", "mul", "tanh", "add", "cat")], 1, 0),
    (called, [("mul", "sigmoid")], 1, 1),
    (scanned, [("sigmoid", "mul")], 2, 1),
]


@pytest.fixture(autouse=True)
def several_threads() -> Iterator[None]:
    """Whose number decides what the compiler calls; other tests of this process leave one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("step", "expected", "kernels", "called_as_they_are"), CASES,
                         ids=[case[0].__name__ for case in CASES])  # fmt: skip
def test_one_region_is_one_kernel(
    step: Step, expected: list[tuple[str, ...]], kernels: int, called_as_they_are: int, tmp_path: Path
) -> None:
    graph = recorded(lambda: step(H, M), tmp_path)
    own: list[Region] = list(regions(graph, Free()))
    assert [each.names for each in own] == expected
    code = generated(step)
    assert len(re.findall(r"^ +cpp_fused_\w+\(", code, re.MULTILINE)) == kernels
    assert len(re.findall(r"\baten\.[\w.]+\(", code)) == called_as_they_are
    for each in own:  # a tensor that stays in a loop is allocated nowhere
        assert len(re.findall(r"= empty_strided", code)) <= len(graph.nodes) - len(each.inside) + 1


def generated(step: Step) -> str:
    """The body that calls the kernels."""
    torch._dynamo.reset()
    with torch._inductor.config.patch(force_disable_caches=True):
        codes: list[str] = get_code(torch.compile(step), H, M)
    return codes[0].split("def call(")[-1]


def alternating(h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    """Products, and a region behind each."""
    for _ in range(3):
        h = torch.sigmoid((h @ h.T) @ h) * h
    return h


def test_several_regions_of_a_pass_are_kernels_of_one_call_that_hands_memory_on(tmp_path: Path) -> None:
    graph = recorded(lambda: alternating(H, M), tmp_path)
    assert [each.names for each in regions(graph, Free())] == [("sigmoid", "mul")] * 3
    code = generated(alternating)
    assert len(re.findall(r"^ +cpp_fused_\w+\(", code, re.MULTILINE)) == 3
    blocks, results = (
        len(re.findall(r"= empty_strided", code)),
        len(graph.nodes) - 3,
    )  # of 3 nothing is stored
    assert blocks < results and "# reuse" in code
