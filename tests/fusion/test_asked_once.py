"""What holds of a call whenever it is invoked is asked of each distinct call, however often it is invoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fusion.scenes import op, scene
from traceanalyzer.fusion.alike import alike
from traceanalyzer.fusion.promise import promise
from traceanalyzer.fusion.rules import RULES, Rule
from traceanalyzer.fusion.rules.base import with_call
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.fusion.suggestions import applied, suggestions
from traceanalyzer.records import OpCall

X = (4096, 4096)
CALLS = (
    op("mm", X, X, ns=4_000_000), op("exp", X, dtypes="fp64", ns=9_000), op("_softmax", X),
    op("copy_", X, X, dtypes=("fp16", "fp32")), op("convolution", (8, 64, 56, 56), (64, 64, 3, 3)),
)  # fmt: skip


class Counting:
    """Calls of a function that it stands for."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.times = 0
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.times += 1
        return self._function(*arguments, **named)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """How often anything asks what a call's tensors are."""
    counting = Counting(OpCall.tensors)
    monkeypatch.setattr(OpCall, "tensors", lambda call: counting(call))
    return counting


def repeated(times: int) -> StepGraph:
    return scene(*CALLS * times)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_asks_as_often_of_four_times_as_many_invocations(rule: Rule, asked: Counting) -> None:
    times = []
    for graph in (repeated(5), repeated(20)):
        asked.times = 0
        list(rule.find(graph, Free()))
        times.append(asked.times)
    assert times[0] == times[1]


def test_those_with_a_call_are_those_that_pass_one_by_one() -> None:
    graph = scene(*CALLS, op("exp", X), *CALLS, op("exp", (8, 8), dtypes="fp64"))
    asked: list[OpCall] = []

    def is_double(node: Node) -> bool:
        asked.append(node.call)
        return node.call.dtype(0) == "fp64"

    assert with_call(graph, is_double) == [node for node in graph.nodes if node.call.dtype(0) == "fp64"]
    assert len(asked) == len(CALLS) + 2 < len(graph.nodes)


def test_what_a_group_of_matches_promises_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = repeated(3)
    groups = sum(len(alike(rule, matches)) for rule, matches in applied(graph))
    counting = Counting(promise)
    monkeypatch.setattr("traceanalyzer.fusion.suggestions.promise", counting)
    assert suggestions(graph).found
    assert counting.times == groups
