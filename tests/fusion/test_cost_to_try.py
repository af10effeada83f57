"""What a suggestion costs to try: flags, and seconds of a compiler with the steps that pay them back."""

from __future__ import annotations

import math

import pytest

from tests.fusion.scenes import op, scene, within
from traceanalyzer.fusion.cost_to_try import CHANGES, compile_ns, cost_to_try
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Band

X = (4096, 4096)
CHAIN, MM = (op("exp", X), op("log", X), op("mul", X, X)), op("mm", X, X)
START_NS, OPERATOR_NS, KERNEL_NS = 5_900_000_000, 26_000_000, 890_000_000


def test_every_rule_says_what_it_costs() -> None:
    by_compiling = {rule.name for rule in RULES if "compile(" in rule.snippet}
    assert {rule.name for rule in RULES} == CHANGES.keys() | by_compiling
    assert all(CHANGES.values())


def test_operators_and_distinct_kernels_take_time_to_compile() -> None:
    graph = scene(*CHAIN, MM, op("exp", X), MM, op("exp", X), MM)
    # Eight operators; two distinct kernels: the chain of three, and exp alone, twice.
    assert compile_ns(graph.nodes) == START_NS + 8 * OPERATOR_NS + 2 * KERNEL_NS


def test_layers_that_are_alike_are_compiled_once() -> None:
    layers = [item for n in range(4) for item in within(f"layers.{n}", *CHAIN, MM)]
    graph = scene(*layers, freed=True)
    told = next(each for each in suggestions(graph).found or () if each.rule == "pointwise_chain")
    assert told.where == "layers.*" and told.saving_per_step_ns is not None
    ns = START_NS + 4 * OPERATOR_NS + KERNEL_NS
    steps = math.ceil(ns / told.saving_per_step_ns.mid)
    assert f"about {steps:,} steps" in told.cost_to_try and "about 7 s" in told.cost_to_try


@pytest.mark.parametrize(("band", "ends"), [
    (Band(1e6, 2e6, 3e6), "pays back after about 2,963 steps"),
    (Band(0.0, 2e6, 3e6), "pays back after about 2,963 steps if it saves what is likely"),
    (None, "at the first step"),
])  # fmt: skip
def test_what_may_save_nothing_may_not_pay_back(band: Band | None, ends: str) -> None:
    graph = scene(MM, steps=2, on_cpu=True)
    said = cost_to_try(graph, "pointwise_chain", graph.nodes, "", "model = torch.compile(model)", band)
    assert said.endswith(ends) if band else ends in said and "pays back" not in said


def test_a_flag_is_a_flag() -> None:
    assert cost_to_try(scene(MM), "fused_optimizer", (), "", "Adam(fused=True)", None) == "one flag"
