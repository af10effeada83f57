"""What a suggestion costs to try: flags, and seconds of a compiler with the steps that pay them back."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from tests.fusion.rules.test_fused_optimizer import ADAMW
from tests.fusion.scenes import annotation, found_by, op, scene, within
from traceanalyzer.fusion.cost_to_try import CHANGES, compile_ns, compiling_ns, cost_to_try
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.fusion.savings import NOTHING, WIDEST, scaled
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.fusion.trial import Compiled, beyond_change, with_trial
from traceanalyzer.records import Band
from traceanalyzer.records.suggestion import OfKind

X = (4096, 4096)
CHAIN, MM = (op("exp", X), op("log", X), op("mul", X, X)), op("mm", X, X)
SAVED = Band(1e6, 2e6, 3e6)
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
    graph = scene(*layers, freed=True, on_cpu=True)
    matches = found_by(graph, "pointwise_chain")
    told = next(each for each in suggestions(graph).found or () if each.rule == "pointwise_chain")
    assert told.where == "layers.*"
    ns = START_NS + 4 * OPERATOR_NS + KERNEL_NS
    saves = replace(told, saving_per_step_ns=SAVED)
    priced = [replace(match, after=match.after or NOTHING) for match in matches]
    said = with_trial(graph, saves, priced, "layers.0", 1.0).cost_to_try
    assert f"about {math.ceil(ns / SAVED.mid):,} steps" in said and "about 7 s" in said


@pytest.mark.parametrize(("where", "snippet", "operators"), [
    ("cell", "model.cell.compile()", 4),
    ("", "model = torch.compile(model)", 61),  # a model that calls it 15 times is traced with all of them
])  # fmt: skip
def test_a_module_that_is_called_often_is_compiled_once(where: str, snippet: str, operators: int) -> None:
    cell = annotation("nn.Module: cell", *within("cell", *CHAIN, MM))
    net = annotation("nn.Module: Net", *[cell] * 15, *within("Net", MM))
    graph = scene(net, net, steps=2, on_cpu=True)
    ns = compiling_ns(graph, graph.nodes, where, snippet)
    assert ns == START_NS + operators * OPERATOR_NS + KERNEL_NS


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


def test_a_compilation_is_paid_back_by_the_saving_that_is_told() -> None:
    graph = scene(*within("block", *CHAIN, MM), freed=True, on_cpu=True)
    told = next(each for each in suggestions(graph).found or () if each.rule == "pointwise_chain")
    (match,) = found_by(graph, "pointwise_chain")
    match = replace(match, after=match.after or NOTHING)
    fewer = replace(told, saving_per_step_ns=scaled(SAVED, 0.1))
    ns = START_NS + 4 * OPERATOR_NS + KERNEL_NS
    steps = math.ceil(ns / (SAVED.mid * 0.1))
    assert f"about {steps:,} steps" in with_trial(graph, fewer, [match], "block", 0.1).cost_to_try


def test_steps_of_one_kind_are_paid_back_in_steps_of_all_kinds() -> None:
    """12 steps of which 3 are of this kind: it saves 2 ms in each fourth."""
    graph = scene(MM, steps=2, on_cpu=True)
    graph.__dict__["step_kind"] = OfKind("B", 3, 12)
    snippet, ns = "model = torch.compile(model)", START_NS + OPERATOR_NS
    said = cost_to_try(graph, "pointwise_chain", graph.nodes, "", snippet, Band(1e6, 2e6, 3e6))
    assert said.endswith(f"pays back after about {math.ceil(ns / 2e6) * 4:,} steps of all kinds")


def ends(saving_ns: float, compiled_ns: int, *, on_cpu: bool = True) -> Band | None:
    graph = scene(op("mm", (64, 64), (64, 64), ns=compiled_ns), steps=2, on_cpu=on_cpu)
    band = Band(saving_ns, 1.5 * saving_ns, 2.4 * saving_ns)
    return beyond_change(graph, band, graph.nodes, Compiled())


def test_what_saves_less_than_compiling_changes_is_not_proved() -> None:
    """1 % of what is compiled, and 1.5 % of the step, by which processes differ: 12.5 of 500 ms."""
    low = ends(1.3e6, 500_000_000)
    assert low is not None and low.low == 0 and low.high == 2.4 * 1.3e6, "at most that"
    sure = ends(50e6, 500_000_000)
    assert sure is not None and sure.low == pytest.approx(37.5e6, rel=1e-3) and sure.mid == 75e6
    assert sure.high <= WIDEST * sure.low
    assert ends(1.3e6, 500_000_000, on_cpu=False) == Band(1.3e6, 1.5 * 1.3e6, 2.4 * 1.3e6)


def test_what_several_compile_changes_once() -> None:
    graph = scene(op("mm", (64, 64), (64, 64), ns=500_000_000), steps=2, on_cpu=True)
    band, nodes = Band(50e6, 75e6, 120e6), graph.nodes
    alone = beyond_change(graph, band, nodes, Compiled.by([(nodes, ())]))
    both = Compiled.by([(nodes, ()), (nodes, ())])
    halves = [beyond_change(graph, band, nodes, both) for _ in range(2)]
    assert alone is not None and alone == beyond_change(graph, band, nodes, Compiled())
    assert sum(band.low - half.low for half in halves if half) == pytest.approx(
        band.low - alone.low + 0.015 * graph.step_ns
    ), "what processes differ by, each; what compiling changes, once"


def test_an_optimizer_that_takes_little_of_a_step_is_only_likely() -> None:
    """Two processes of the same code may differ by what fusing it saves."""
    step = annotation("Optimizer.step#AdamW.step", *ADAMW)  # 8 operators of 0.12 ms
    for product_ns, tier in ((10_000, "T0"), (20_000_000, "T3")):
        graph = scene(op("mm", X, X, ns=product_ns), step, steps=2, on_cpu=True)
        (told,) = [each for each in suggestions(graph).found or () if each.rule == "fused_optimizer"]
        assert told.tier == tier and told.saving_per_step_ns is not None
        assert (told.saving_per_step_ns.low > 0) == (tier == "T0")
        assert any("from one process to the next" in text for text in told.caveats) == (tier == "T3")


def test_a_small_chain_in_a_large_module_is_only_likely() -> None:
    chain = [op(name, X, ns=2_000_000) for name in ("exp", "log", "relu")]
    product = op("mm", X, X, ns=60_000_000)
    for more, tier in ((MM, "T2"), (product, "T3")):
        graph = scene(*within("block", *chain, more), freed=True, on_cpu=True)
        found = [each for each in suggestions(graph).found or () if each.rule == "pointwise_chain"]
        assert [each.tier for each in found] == [tier]
        assert any("compiling changes the time" in text for text in found[0].caveats) == (tier == "T3")


def test_on_a_gpu_no_seconds_of_a_cpu_are_named() -> None:
    """They say little of what a compiler for it takes, and no step of its pays them back."""
    graph = scene(MM, steps=2)
    said = cost_to_try(
        graph, "pointwise_chain", graph.nodes, "", "model = torch.compile(model)", Band(1e6, 2e6, 3e6)
    )
    assert "once per process" in said and "how long was not measured" in said
    assert "CPU" not in said and not any(each.isdigit() for each in said)
    assert "pays back" not in said and "steps" not in said
