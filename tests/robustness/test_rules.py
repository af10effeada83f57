"""A rule that fails costs only its own suggestions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

import traceanalyzer
from tests.robustness.documents import SAMPLES
from traceanalyzer.fusion import suggestions
from traceanalyzer.fusion.rules import RULES, Match
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Job
from traceanalyzer.report import RENDERERS, read_back, render

SAMPLE = next(path for path in SAMPLES if path.name.startswith("gpt_eager"))


def told(job: Job) -> list[tuple[str, str, int]]:
    """Each suggestion, as far as it does not depend on what other rules claim."""
    return sorted((one.rule, one.where, one.count) for one in job.suggestions or ())


def failing(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Raises after it has found nothing, as a rule that meets odd rows does."""
    yield from ()
    raise IndexError("tuple index out of range")


@pytest.mark.parametrize("rule", ["fused_optimizer", RULES[-1].name])
def test_a_rule_that_raises_costs_only_itself(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = traceanalyzer.analyze(SAMPLE)
    spoilt = tuple(replace(each, find=failing) if each.name == rule else each for each in RULES)
    monkeypatch.setattr(suggestions, "RULES", spoilt)
    after = traceanalyzer.analyze(SAMPLE)
    notices = [notice for notice in after.source.warnings if notice.code == "rule_failed"]
    assert len(notices) == 1 and rule in notices[0].message
    # What the rule claimed is now free for those behind it: theirs may be more, never fewer.
    others = [one for one in told(before) if one[0] != rule]
    assert [one for one in others if one not in told(after)] == []
    assert not [one for one in after.suggestions or () if one.rule == rule]
    assert (after.time, after.op_rows) == (before.time, before.op_rows)
    for name in RENDERERS:
        assert render(after, name)
    assert read_back(render(after, "json").encode()).suggestions == after.suggestions


def test_a_rule_that_raises_is_said_in_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spoilt = tuple(replace(each, find=failing) for each in RULES)
    monkeypatch.setattr(suggestions, "RULES", spoilt)
    job = traceanalyzer.analyze(SAMPLE)
    assert job.suggestions == ()
    assert len([n for n in job.source.warnings if n.code == "rule_failed"]) == len(RULES)
    file = tmp_path / "report.json"
    file.write_text(render(job, "json"), encoding="utf-8")
    assert traceanalyzer.analyze(file).source.warnings == job.source.warnings
