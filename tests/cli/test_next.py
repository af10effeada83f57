"""What a report after profiling has its reader type next."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

import traceanalyzer
from tests.project.tree import ROOT
from traceanalyzer.cli import main, profile
from traceanalyzer.records.vocabulary import RULES_TO_VERIFY
from traceanalyzer.report.context import next_commands, suggestion_texts

SAMPLE = str(ROOT / "sample_traces" / "gpt_eager_cpu.json.gz")


def test_what_comes_next_is_the_first_change_and_the_first_that_can_be_tried(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["report", SAMPLE, "--next", "-o", str(tmp_path / "page.html")])
    assert said.exit_code == 0, said.output
    told = said.stderr.splitlines()[-1].removeprefix("traceanalyze: next: ").split(", or ")
    rules = [each.rule for each in suggestion_texts(traceanalyzer.analyze(SAMPLE)) or ()]
    tried = next(rule for rule in rules if rule in RULES_TO_VERIFY)
    verify = f"traceanalyze verify {shlex.quote(SAMPLE)} {tried}"
    assert told == ([verify] if rules[0] == tried else [f"traceanalyze explain {rules[0]}", verify])


def test_a_report_without_changes_has_its_rows_read_next(tmp_path: Path) -> None:
    analysis = traceanalyzer.analyze(SAMPLE)
    assert next_commands(replace(analysis, suggestions=())) == ()


@pytest.mark.parametrize(("page", "says"), [(None, True), (Path("page.html"), False)])
def test_profiling_leaves_it_to_the_report(
    page: Path | None, says: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which knows what was found; without a report the next command is to have one."""
    lines, commands = list[str](), list[list[str]]()

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    profile._next(Path("step.json.gz"), page, lines.append, quiet=False, verbose=False)
    assert lines == (["next: traceanalyze report step.json.gz"] if says else [])
    assert [("--next" in command) for command in commands] == [True] * (page is not None)
