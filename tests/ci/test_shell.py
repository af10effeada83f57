"""The shell recipe of docs/ci.md in a repository of its own: it passes, breaks and comments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.ci.platform import Answer, Platform
from tests.project.tree import ROOT

SAMPLE = Path(__file__).with_name("sample_repository")
EAGER, COMPILED = (ROOT / "sample_traces" / f"gpt_{name}_cpu.json.gz" for name in ("eager", "compiled"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The sample, and commands that run this package."""
    folder = tmp_path / "repository"
    shutil.copytree(SAMPLE, folder)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in (("traceanalyze", "-P -m traceanalyzer"), ("python", "-P")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (commands / name).chmod(0o755)
    return folder


def ran(folder: Path, environment: dict[str, str], *traces: Path) -> subprocess.CompletedProcess[str]:
    path = f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "CI_", "GITLAB_"))}
    return subprocess.run(
        ["sh", "ci/report.sh", *map(str, traces)], cwd=folder, capture_output=True, text=True, check=False,
        env={**inherited, "PYTHONPATH": str(ROOT), "PATH": path, **environment},
    )  # fmt: skip


def test_it_passes_breaks_and_comments(repository: Path, platform: Platform, pull_request: str) -> None:
    environment = platform.github(pull_request, PAGE_URL="https://example.com/page")
    first = ran(repository, environment, COMPILED)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "comment created" in first.stdout
    assert "[The report](https://example.com/page)" in platform.bodies[0]
    baseline = (repository / "reports" / "runs").rename(repository / "main")

    second = ran(repository, environment, EAGER, baseline)
    assert second.returncode == 3, second.stdout + second.stderr
    assert "BROKEN" in second.stdout and "comment updated" in second.stdout
    assert len(platform.comments) == 1 and platform.bodies[0].startswith("### ")
    assert "median step" in platform.bodies[0] and platform.bodies[0].count("<!-- traceanalyze:gpt -->") == 1
    written = {path.name for path in (repository / "reports").iterdir()}
    assert written == {"report.html", "runs", "metrics.prom", "diff.html", "comment.md", "junit.xml"}
    suite = ElementTree.parse(repository / "reports" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


@pytest.mark.parametrize("traces", [(COMPILED,), (EAGER,)], ids=["holds", "broken"])
def test_a_refused_comment_changes_nothing(
    traces: tuple[Path, ...], repository: Path, platform: Platform
) -> None:
    platform.answers = [Answer(403, message="insufficient scope", method="POST")]
    done = ran(repository, platform.gitlab(), *traces)
    assert done.returncode == (3 if traces == (EAGER,) else 0), done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if "insufficient scope" in line] == [
        done.stdout.strip().splitlines()[-1]
    ]
    assert platform.comments == []


def test_no_platform_and_no_trace(repository: Path, tmp_path: Path) -> None:
    done = ran(repository, {}, COMPILED)
    assert done.returncode == 0 and "no platform to comment on" in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong in (empty, tmp_path / "missing.json"):
        done = ran(repository, {}, wrong)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_first_run_needs_no_baseline_and_no_requirements(repository: Path) -> None:
    project = repository / "pyproject.toml"
    named = '[tool.traceanalyzer]\nrequire = ["window.step_ns.median<=+5%"]\nbaseline = "main"\n'
    for written, said in ((named, "left out     window.step_ns.median<=+5%; main is not there yet"),
                          (named.replace('baseline = "main"', ""), "there is no baseline"),
                          ("", "nothing is required")):  # fmt: skip
        project.write_text(written)
        done = ran(repository, {}, COMPILED)
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout
        suite = ElementTree.parse(repository / "reports" / "junit.xml").getroot()
        assert (suite.get("tests"), suite.get("failures")) == ("0", "0")


def test_a_pattern_is_several_runs(repository: Path) -> None:
    for number, trace in enumerate((COMPILED, EAGER)):
        shutil.copy(trace, repository / f"run{number}.json.gz")
    (repository / "pyproject.toml").write_text(
        '[tool.traceanalyzer]\nrequire = ["window.step_ns.median<=+900%"]\nbaseline = "main"\n'
    )
    first = ran(repository, {}, Path("run*.json.gz"))
    assert first.returncode == 0, first.stdout + first.stderr
    assert {path.name for path in (repository / "reports" / "runs").iterdir()} == {"1.json", "2.json"}
    shutil.copytree(repository / "reports" / "runs", repository / "main")
    second = ran(repository, {}, Path("run*.json.gz"), Path("main"))
    assert second.returncode == 0 and "2 runs" in (repository / "reports" / "comment.md").read_text()


def test_the_docs_show_this_script() -> None:
    script = (SAMPLE / "ci" / "report.sh").read_text()
    assert f"```sh\n{script}```\n" in (ROOT / "docs" / "ci.md").read_text()
