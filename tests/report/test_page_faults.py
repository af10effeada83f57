"""What a recording says of page faults is a fact of the report, where both of its figures are known."""

from __future__ import annotations

from msgspec.structs import replace

from tests.report.example import example_analysis
from traceanalyzer.records import Recording
from traceanalyzer.report.context import recording


def facts(told: Recording) -> list[str]:
    found = recording(replace(example_analysis(), recording=told))
    return [f"{fact.text}, {fact.about}" for fact in found if fact.name == "Page faults"]


def test_page_faults_and_their_time_stand_beside_each_other() -> None:
    told = Recording(minor_faults_per_step=12_345, system_ns_per_step=210_000_000)
    assert facts(told) == ["12,345 per step, 210 ms of system time"]


def test_what_was_not_counted_is_not_shown() -> None:
    assert not facts(Recording(minor_faults_per_step=12_345))
