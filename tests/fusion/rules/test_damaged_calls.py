"""Calls of which a trace has recorded less, or other things, than a rule wants to know."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.fusion.rules.test_claims import SCENES
from tests.fusion.scenes import op, scene
from traceanalyzer.fusion.rules import RULES, Rule, rule_named
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import OpCall

NAMES = (
    "unfused_attention", "attention_fallback", "tf32_products", "fp8_matmul", "merged_linear",
    "unaligned_gemm", "quantized_weights", "sparse_weights", "bias_addition", "activation_epilogue",
    "channels_last", "recomputation", "embedding_backward", "fold_batch_norm", "cross_entropy",
)  # fmt: skip
CHECKED = [rule for name in NAMES if (rule := rule_named(name)) is not None]
DAMAGES: dict[str, Callable[[OpCall], OpCall]] = {
    "no dims": lambda call: replace(call, shapes=()),
    "scalars": lambda call: replace(call, shapes=((),) * len(call.shapes)),
    "one dim": lambda call: replace(call, shapes=((7,),) * len(call.shapes)),
    "lists": lambda call: replace(call, shapes=(((2, 3), (4,)),) * len(call.shapes)),
    "more dims than types": lambda call: replace(call, shapes=(*call.shapes, (3, 3), (5, 5))),
    "no types": lambda call: replace(call, dtypes=(), types=()),
    "unknown types": lambda call: replace(call, dtypes=(None,) * len(call.shapes)),
    "no values": lambda call: replace(call, concrete=()),
    "strange values": lambda call: replace(call, concrete=("²",) * len(call.shapes)),
    "short strides": lambda call: replace(call, input_strides=((1,), ())),
    "empty tensors": lambda call: replace(call, shapes=tuple((0,) * len(dims) for dims in call.shapes)),
}


def damaged(graph: StepGraph, damage: Callable[[OpCall], OpCall], *, priced: bool) -> StepGraph:
    nodes = tuple(replace(node, call=damage(node.call), cost=node.cost if priced else None)
                  for node in graph.nodes)  # fmt: skip
    return replace(graph, nodes=nodes)


def test_the_list_names_rules() -> None:
    assert len(CHECKED) == len(NAMES) and set(CHECKED) <= set(RULES)


@pytest.mark.parametrize("rule", CHECKED, ids=NAMES)
def test_a_rule_does_without_what_is_not_recorded(rule: Rule) -> None:
    for graph in SCENES.values():
        for damage in DAMAGES.values():
            for priced in (True, False):
                given = damaged(graph, damage, priced=priced)
                assert all(match.nodes or match.evidence for match in rule.find(given, Free()))


@pytest.mark.parametrize("name", ["mm", "_softmax", "_log_softmax", "cudnn_convolution", "add"])
def test_operators_of_no_time_and_no_dims_say_nothing(name: str) -> None:
    assert not suggestions(scene(op(name, (), (), dtypes=(None, None), ns=0))).found
