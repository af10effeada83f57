"""Rules of products whose weights limit them, on rows written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.fusion.test_rules import EXP, step
from traceanalyzer.device import named
from traceanalyzer.fusion.rules import RULES, Match
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records.trace import Step

WEIGHT = (4096, 4096)
STEPS = 2
CALLS = 10


def scene_of(
    device: str = "a100-sxm4-80gb", *, steps: int = STEPS, phase: str | None = None, **fields: Any
) -> StepGraph:
    """A step's rows are one product; `fields` are that row's."""
    given = step(EXP)
    busy = given.busy_ns
    row = msgspec.structs.replace(
        given.rows[0], name="aten::mm", calls=CALLS, input_types=("c10::BFloat16",) * 2,
        precision="bf16", engine="matrix", attributed_ns=busy, **fields,
    )  # fmt: skip
    numbers = tuple(Step(f"ProfilerStep#{n}", n, n, n + 1) for n in range(steps))
    window = replace(given.judged.window, steps=numbers)
    judged = replace(given.judged, rows=(row,), device=named(device), window=window)
    nodes = tuple(replace(node, phase=phase) for node in given.nodes)
    return replace(given, judged=judged, nodes=nodes)


def found(rule: str, given: StepGraph) -> list[Match]:
    known = next(each for each in RULES if each.name == rule)
    return list(known.find(given, lambda node: True))


def few_rows(**more: Any) -> dict[str, Any]:
    moved = 2 * (4096 + 4096 * 4096)
    return {"input_dims": ((1, 4096), WEIGHT), "verdict": "memory_bound",
            "read_bytes": CALLS * moved, "write_bytes": CALLS * 2 * 4096} | more  # fmt: skip


def test_weights_that_limit_products_are_read_half_as_long() -> None:
    given = scene_of(**few_rows())
    (match,) = found("quantized_weights", given)
    assert match.bytes_saved == 4096 * 4096 * CALLS // STEPS, "two bytes become one"
    time = given.busy_ns / STEPS
    assert match.saved is not None and match.saved.high == pytest.approx(time / 2, rel=0.01)
    assert match.saved.low == 0 and match.tier == "T3"


@pytest.mark.parametrize("given", [
    scene_of(**few_rows(), phase="backward"),
    scene_of(**few_rows(), steps=0),
    scene_of(**few_rows(verdict="compute_bound")),
    scene_of(**few_rows(input_dims=((4096, 64), (64, 4096)), read_bytes=2**20, write_bytes=2**25)),
], ids=["trained", "no steps", "arithmetic", "a small weight"])  # fmt: skip
def test_where_weights_do_not_limit(given: StepGraph) -> None:
    assert not found("quantized_weights", given)


def large(**more: Any) -> dict[str, Any]:
    return {"input_dims": ((4096, 4096), WEIGHT), "verdict": "compute_bound"} | more


def test_pruned_weights_could_be_skipped() -> None:
    (match,) = found("sparse_weights", scene_of(**large()))
    assert match.saved is None and match.after is None


@pytest.mark.parametrize("given", [
    scene_of("v100-sxm2", **large()),
    scene_of(**large(), steps=0),
    scene_of(**large(), phase="backward"),
    scene_of(**large(input_dims=((4096, 4096), (4096, 4100)))),
    scene_of(**large(verdict="memory_bound")),
], ids=["Volta", "no steps", "trained", "odd", "memory"])  # fmt: skip
def test_where_zeros_cannot_be_skipped(given: StepGraph) -> None:
    assert not found("sparse_weights", given)
