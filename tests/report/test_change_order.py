"""In which order a report names what to change."""

from __future__ import annotations

from traceanalyzer.records import Band, Suggestion
from traceanalyzer.report.change_words import by_certainty


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
