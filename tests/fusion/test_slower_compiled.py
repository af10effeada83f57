"""What compiling makes slower on a CPU is counted against what it saves there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import CPU, Item, found_by, handed, op, scene, within
from traceanalyzer.fusion import suggestions as listing
from traceanalyzer.fusion.module_compile import compiled_together
from traceanalyzer.fusion.rules import RULES, Rule
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied, suggestions
from traceanalyzer.fusion.trial import with_trial
from traceanalyzer.records import Band, Peak, Suggestion
from traceanalyzer.records.units import duration

X = (4096, 2048)
ELEMENTS = 4096 * 2048
MS = 1_000_000
CHAIN = tuple(op(name, X, ns=100 * MS) for name in ("abs", "neg", "square", "relu"))
MM = op("mm", (2048, 2048), (2048, 2048), ns=5 * MS)
DRAWN = op("bernoulli_", X, (), (), makes=(), ns=10 * MS)
FLOPS = Peak("vector", "fp32", 200e9), Peak("matrix", "fp32", 200e9)


def step(*more: Item, on_cpu: bool = True) -> StepGraph:
    graph = scene(
        *within("block", *CHAIN, MM, *more, MM),
        on_cpu=on_cpu,
        device=replace(CPU, peaks=FLOPS) if on_cpu else "h100-sxm5",
    )
    known = handed(graph, (0, 1), (1, 2), (2, 3))
    return replace(known, executed=True, freed_in_step=frozenset(range(3)))


def told(graph: StepGraph) -> Suggestion:
    return next(each for each in suggestions(graph).found or () if each.rule == "pointwise_chain")


def saved(graph: StepGraph) -> Band:
    band = told(graph).saving_per_step_ns
    assert band is not None
    return band


def test_numbers_that_generated_code_draws_take_longer() -> None:
    before, after = saved(step()), saved(step(DRAWN))
    # 1350 FLOPs each at 1.25 times 200 GFLOP/s, less the 10 ms that ATen takes.
    lost = ELEMENTS * 1350 / (1.25 * 200e9) * 1e9 - 10 * MS
    assert abs((before.mid - after.mid) - lost) < 1e-3 * lost
    (said,) = [caveat for caveat in told(step(DRAWN)).caveats if "slower on a CPU" in caveat]
    assert said.startswith("compiling makes bernoulli slower")


def test_a_gpu_draws_as_fast() -> None:
    assert not any(
        match.slower for _, each in compiled_together(step(DRAWN, on_cpu=False), []) for match in each
    )
    matched = compiled_together(step(DRAWN, on_cpu=False), list(applied(step(DRAWN, on_cpu=False))))
    assert not any(match.slower for _, matches in matched for match in matches)


def test_where_compiling_loses_more_than_it_saves_no_time_is_promised() -> None:
    drawn = [op("bernoulli_", X, (), (), makes=(), ns=MS)] * 4
    assert told(step(*drawn)).saving_per_step_ns is None
    (said,) = [caveat for caveat in told(step(*drawn)).caveats if "slower on a CPU" in caveat]
    assert "counted already" not in said and said.endswith("the step may become longer altogether")


def test_what_is_counted_already_is_as_small_as_the_saving_became() -> None:
    """Others save the rest of the step: what was taken off shrinks with what is left."""
    graph = step(DRAWN)
    (match,) = found_by(graph, "pointwise_chain")
    suggestion = replace(told(graph), caveats=())
    bearing = [each for _, each in compiled_together(graph, list(applied(graph))) if each]
    group = next(each for each in bearing if each[0].nodes == match.nodes)
    whole, half = (with_trial(graph, suggestion, group, "block", times).caveats[0] for times in (1.0, 0.5))
    lost = -sum(each.lost.mid for each in group if each.lost)
    assert duration(lost) in whole and duration(lost / 2) in half


def test_what_is_drawn_elsewhere_is_not_counted_against_a_module() -> None:
    graph = step()
    other = scene(
        *within("block", *CHAIN, MM),
        *within("head", DRAWN, MM),
        on_cpu=True,
        device=replace(CPU, peaks=FLOPS),
    )
    known = replace(handed(other, (0, 1), (1, 2), (2, 3)), executed=True, freed_in_step=frozenset(range(3)))
    assert saved(known).mid == pytest.approx(saved(graph).mid, rel=1e-6)  # what lies between operators apart


COMPILED = [rule for rule in RULES if rule.fixed_by_compiling_module]


def chosen(graph: StepGraph, **rules: str) -> dict[str, float]:
    """What these rules alone promise of one half of the chain each; of each rule the title of its match."""
    (match,) = found_by(graph, "pointwise_chain")
    half = replace(match, nodes=match.nodes[:2]), replace(match, nodes=match.nodes[2:])
    given = {name: replace(half[at], title=title) for at, (name, title) in enumerate(rules.items())}
    patched = tuple(
        replace(rule, find=lambda graph, free, name=rule.name: iter([given[name]]))
        for rule in RULES
        if rule.name in rules
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "RULES", patched)
        listed = suggestions(graph).found or ()
    return {each.rule: each.saving_per_step_ns.mid for each in listed if each.saving_per_step_ns}


@pytest.mark.parametrize("rule", COMPILED, ids=lambda rule: rule.name)
def test_a_match_with_a_title_of_its_own_loses_as_much(rule: Rule) -> None:
    lost = ELEMENTS * 1350 / (1.25 * 200e9) * 1e9 - 10 * MS
    for title in ("", "Seen in a way of its own"):
        before, after = (chosen(graph, **{rule.name: title}) for graph in (step(), step(DRAWN)))
        assert before[rule.name] - after[rule.name] == pytest.approx(lost, rel=1e-3)


def test_what_is_made_slower_once_is_counted_once_over_all_rules() -> None:
    lost = ELEMENTS * 1350 / (1.25 * 200e9) * 1e9 - 10 * MS
    two = {"pointwise_chain": "", "gated_activation": "With a title"}
    before, after = chosen(step(), **two), chosen(step(DRAWN), **two)
    assert len(before) == len(after) == 2
    assert sum(before.values()) - sum(after.values()) == pytest.approx(lost, rel=1e-3)
    # Who saves more of the same module bears more of it.
    assert all(after[name] / before[name] == pytest.approx(sum(after.values()) / sum(before.values()))
               for name in two)  # fmt: skip
