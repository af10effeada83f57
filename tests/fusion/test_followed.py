"""A model that follows a suggestion is not given it again, and `verify` tries those that are given."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.project.tree import ROOT
from traceanalyzer.cli import main

SCRIPT = Path(__file__).with_name("followed.py")
PROFILE = (sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--active", "1")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("followed")
    made: dict[str, Path] = {}

    def record(which: str) -> Path:
        if which not in made:
            made[which] = folder / f"{which}.json.gz"
            command = [*PROFILE, "-o", str(made[which]), str(SCRIPT), which]
            subprocess.run(command, check=True, capture_output=True)
        return made[which]

    return record


def rules(path: Path) -> set[str]:
    return {told.rule for told in traceanalyzer.analyze(str(path)).suggestions or ()}


def test_what_is_written_out_is_found(recorded: Callable[[str], Path]) -> None:
    assert rules(recorded("written")) >= {"unfused_attention", "fused_optimizer"}


def test_what_is_followed_is_not_suggested(recorded: Callable[[str], Path]) -> None:
    found = rules(recorded("followed"))
    assert not found & {
        "unfused_attention", "attention_fallback", "fused_optimizer", "zero_grad", "rms_norm",
        "pointwise_chain", "residual_norm",
    }  # fmt: skip


@pytest.mark.parametrize("rule", ["unfused_attention", "fused_optimizer", "rms_norm"])
def test_a_suggestion_is_tried_here(recorded: Callable[[str], Path], rule: str) -> None:
    said = CliRunner().invoke(main, ["verify", str(recorded("written")), rule])
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert lines[0].startswith(f"{rule} on ") and max(map(len, lines[1:])) <= 80
    labels = [match[1] for line in lines if (match := re.match(r"  (\S+(?: \S+)?)  +", line))]
    assert labels[:6] == ["the report", "tried", "before", "after", "saved", "predicted"]
    # what is larger and cannot be rebuilt, and the module that holds the match as a whole
    assert set(labels[6:]) <= {"before", "after", "saved", "predicted", "not tried"}, labels
    verdict = next(line for line in lines if re.match("(?:promise|this run|no promise|nothing was) ", line))
    assert "here" in " ".join(lines[lines.index(verdict) :])


COMPILING = {
    "pointwise_chain", "rms_norm", "residual_norm", "gated_activation", "dropout_chain", "cross_entropy",
    "batch_norm_activation", "rotary_embedding", "activation_epilogue",
}  # fmt: skip


@pytest.mark.parametrize("script, flag, followed", [
    ("gpt.py", "--fused", {"unfused_attention", "attention_fallback"}),
    ("gpt.py", "--compile", COMPILING | {"unfused_attention"}),
    ("mlp_block.py", "--compile", COMPILING),
    ("memory_block.py", "--compile", COMPILING),
    ("convnet.py", "--channels-last", {"channels_last", "layout_copies"}),
], ids=lambda value: str(value) if isinstance(value, str) else "")  # fmt: skip
def test_no_example_is_given_what_it_follows(
    tmp_path: Path, script: str, flag: str, followed: set[str]
) -> None:
    path = tmp_path / "trace.json.gz"
    command = [*PROFILE, "-o", str(path), str(ROOT / "examples" / script), flag]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    if "no C++ compiler" in done.stderr:
        pytest.skip("no C++ compiler")
    assert not rules(path) & followed


def test_bytes_are_counted_or_it_is_said_why_not(recorded: Callable[[str], Path]) -> None:
    said = CliRunner().invoke(main, ["verify", "--counters", str(recorded("written")), "rms_norm"])
    assert said.exit_code == 0, said.output
    moved = next(line for line in said.stdout.splitlines() if line.split()[0] == "moved")
    assert "B before" in moved or "not counted: " in moved
    assert len(moved) <= 80


def test_a_rule_that_is_not_there_is_told(recorded: Callable[[str], Path]) -> None:
    said = CliRunner().invoke(main, ["verify", str(recorded("followed")), "zero_grad"])
    assert said.exit_code == 2 and "applies nowhere" in said.stderr
    said = CliRunner().invoke(main, ["verify", str(recorded("followed")), "nothing_like_it"])
    assert said.exit_code == 2 and "there is no such rule" in said.stderr
