"""Which of a rule's matches `verify` tries first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from traceanalyzer.cli.verify import distinct


def match(name: str, ns: int) -> Any:
    return SimpleNamespace(nodes=(SimpleNamespace(name=name, time_ns=ns),))


def test_the_largest_of_each_sequence_in_the_order_of_their_time() -> None:
    matches = [match("a", 100), match("b", 50), match("c", 20), match("b", 10), match("a", 1)]
    assert [(m.nodes[0].name, m.nodes[0].time_ns) for m in distinct(matches)] == [
        ("a", 100), ("b", 50), ("c", 20)
    ]  # fmt: skip
