"""Which of a rule's matches `verify` tries first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from traceanalyzer.cli.verify import distinct
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.records.vocabulary import RULES_TO_VERIFY


def match(name: str, ns: int) -> Any:
    return SimpleNamespace(nodes=(SimpleNamespace(name=name, time_ns=ns),))


def test_the_largest_of_each_sequence_in_the_order_of_their_time() -> None:
    matches = [match("a", 100), match("b", 50), match("c", 20), match("b", 10), match("a", 1)]
    assert [(m.nodes[0].name, m.nodes[0].time_ns) for m in distinct(matches)] == [
        ("a", 100), ("b", 50), ("c", 20)
    ]  # fmt: skip


def test_a_report_names_the_command_for_every_rule_that_can_be_tried() -> None:
    assert set(RULES_TO_VERIFY) == {rule.name for rule in RULES if rule.replacement != "nothing"}
