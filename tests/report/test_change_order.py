"""In which order a report names what to change."""

from __future__ import annotations

import re

import msgspec
import pytest

from tests.report import example
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.units import duration
from traceanalyzer.report.change_words import by_certainty, change_sentences

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "twelve": 12}


def suggestion(rule: str, low: float, mid: float, share: float | None) -> Suggestion:
    return Suggestion(
        rule=rule, title="", tier="T1", action="", snippet="", where="", count=1, evidence="",
        bytes_saved_per_step=None, saving_per_step_ns=Band(low, mid, 2 * mid) if mid else None,
        share_of_step=share, caveats=(), docs="",
    )  # fmt: skip


def test_what_is_sure_comes_before_what_may_be_nothing_and_both_before_next_to_nothing() -> None:
    sure, larger = suggestion("sure", 2.0, 3.0, 0.03), suggestion("larger", 5.0, 8.0, 0.08)
    likely, flag = suggestion("likely", 0.0, 30.0, 0.3), suggestion("flag", 0.5, 0.7, 0.007)
    starved = suggestion("no share", 1.0, 1.5, None)
    untimed = suggestion("untimed", 0.0, 0.0, None)
    order = [each.rule for each in by_certainty((untimed, flag, likely, starved, sure, larger))]
    assert order == ["larger", "sure", "no share", "likely", "flag", "untimed"]


@pytest.mark.parametrize(("sure", "likely"), [(1, 0), (0, 1), (2, 3), (5, 0), (0, 6), (7, 5), (12, 11)])
def test_the_sentence_is_about_every_change_that_the_page_lists(sure: int, likely: int) -> None:
    """As many are counted, and their savings are the sum."""
    some = [suggestion(f"s{n}", 1e6 * n, 2e6 * n, 0.1) for n in range(1, sure + 1)]
    more = [suggestion(f"l{n}", 0.0, 1e6 * n, 0.1) for n in range(1, likely + 1)]
    analysis = msgspec.structs.replace(example.example_analysis(), suggestions=tuple(some + more))
    (text,) = change_sentences(analysis)
    counted = re.findall(
        r"(\w+)(?: more)? (?:changes?|could save)\b", text.replace("changes could", "changes")
    )
    assert sum(NUMBERS.get(word.lower()) or int(word) for word in counted) == sure + likely
    assert (duration(sum(s.saving_per_step_ns.high for s in some), 2) in text) == (sure > 0)
    assert (f"up to {duration(sum(s.saving_per_step_ns.high for s in more), 2)}" in text) == (likely > 0)
