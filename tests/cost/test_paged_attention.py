"""Attention over a paged cache, by the requests that a serving engine writes into its steps' names."""

from __future__ import annotations

from pathlib import Path

import pytest

import traceanalyzer
from tests.files import loaded
from tests.pipeline.kineto import Kineto
from traceanalyzer.cost.price import price
from traceanalyzer.inference.complete import complete
from traceanalyzer.records import Bounded, Sequences

HALF = "c10::BFloat16"
NEW, HEADS, KEPT, D = 5, 8, 2, 64


def step(prompts: list[tuple[int, int]], generated: list[tuple[int, int]]) -> str:
    """The name of a step with these (new tokens, tokens in all) of each request."""
    parts = []
    for requests in (prompts, generated):
        q, k = sum(q for q, _ in requests), sum(k for _, k in requests)
        squares, products = sum(q * q for q, _ in requests), sum(q * k for q, k in requests)
        parts.append(f"{len(requests)}(sq{q}sk{k}sqsq{squares}sqsk{products})")
    return f"execute_{NEW}_context_{parts[0]}_generation_{parts[1]}"


def recorded(path: Path, name: str) -> Path:
    t = Kineto()
    t.annotation(name, 0, 100)
    q, k = ([NEW, HEADS, D], HALF), ([NEW, KEPT, D], HALF)
    t.op("vllm::unified_attention_with_output", 10, 50, q, k, k, q)
    t.kernel("paged_attention", 200, 100, t.launch(15))
    return t.write(path / "t.json")


def test_pairs_of_the_sums_are_those_counted_one_by_one() -> None:
    requests = [(3, 10), (4, 4), (1, 7)]
    pairs = sum(k - q + i + 1 for q, k in requests for i in range(q))
    q, k = sum(q for q, _ in requests), sum(k for _, k in requests)
    sums = Sequences(3, q, k, sum(q * q for q, _ in requests), sum(q * k for q, k in requests))
    assert sums.causal_pairs == pairs


@pytest.mark.parametrize("prompts", [[], [(2, 30)]])
def test_work_lies_between_one_key_and_all(prompts: list[tuple[int, int]], tmp_path: Path) -> None:
    generated = [(1, 100), (1, 50), (1, 25)]
    priced = price(complete(loaded(str(recorded(tmp_path, step(prompts, generated))))))
    (cost,) = (each.cost for each in priced.prices.values())
    assert isinstance(cost, Bounded)
    pairs, keys = 175 + (29 + 30 if prompts else 0), 175 + (30 if prompts else 0)
    new = 3 + (2 if prompts else 0)
    assert (cost.least.flops, cost.most.flops) == (4 * HEADS * D * new, 4 * HEADS * D * pairs)
    base = 2 * 2 * NEW * HEADS * D
    assert (cost.least.bytes, cost.most.bytes) == (base + 4 * KEPT * D * new, base + 4 * KEPT * D * keys)
    assert cost.together == (not prompts), "of one new token each, keys decide both"


def test_a_name_of_tokens_alone_decides_nothing(tmp_path: Path) -> None:
    path = recorded(tmp_path, "execute_context_0(0)_generation_3(3)")
    (row,) = traceanalyzer.analyze(path).op_rows
    assert (row.reason, row.flops_range, row.bytes_range) == ("data_dependent", None, None)
