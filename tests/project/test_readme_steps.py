"""The README's way from a slow step to a faster one: each line runs, and its picture is small."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.project.tree import ROOT
from traceanalyzer.cli import main

SECTION = (
    (ROOT / "README.md")
    .read_text(encoding="utf-8")
    .partition("## From a slow step to a faster one")[2]
    .partition("\n## ")[0]
)
NEEDS_MINUTES = ("verify", "profile")  # tests/verify and tests/examples run these


def lines() -> list[list[str]]:
    """The commands, without the comments behind them."""
    block = SECTION.partition("```\n")[2].partition("```")[0]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


def test_each_of_its_ten_commands_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample_traces").symlink_to(ROOT / "sample_traces")
    monkeypatch.chdir(tmp_path)
    assert len(lines()) == 10
    said: dict[str, str] = {}
    for words in lines():
        if words[0] in NEEDS_MINUTES:
            assert all((ROOT / word).is_file() for word in words if "/" in word), words
            continue
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, (words, done.output)
        said[words[0]] = done.output
    for name in ("before.html", "after.html", "change.html", "before.json", "seen.json.gz"):
        assert (tmp_path / name).stat().st_size > 1000
    assert said["check"].startswith("ok ")
    assert "stands out from the noise" in said["diff"] and "3.08 GB, now 1.79 GB" in said["diff"]


def test_its_picture_is_of_the_page_and_small() -> None:
    picture = (ROOT / "docs" / "page.png").read_bytes()
    assert "(docs/page.png)" in SECTION
    assert picture.startswith(b"\x89PNG") and len(picture) < 150_000
    assert int.from_bytes(picture[16:20]) == 1040
