"""Captures in code, one after another: where each went is said, and its report is one call away."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import traceanalyzer
from traceanalyzer.records.errors import UsageError

SHORT = {"wait": 1, "warmup": 0, "active": 1, "roofs": False, "evidence": False}


def loop(profiler: traceanalyzer.profile, steps: int = 4) -> None:
    for _ in range(steps):
        torch.ones(8).add(1)
        profiler.step()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    return tmp_path


def test_a_line_says_where_the_trace_is_and_the_report_is_one_call(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with traceanalyzer.profile("run.trace.json.gz", **SHORT) as p:
        loop(p)
        with pytest.raises(UsageError, match="in progress"):
            p.report()
    said = capsys.readouterr()
    assert said.err == "traceanalyze: captured step 1 (counted from 0), wrote run.trace.json.gz\n"
    report = p.report()
    assert report.window.steps == ("ProfilerStep#1",) and p.path == here / "run.trace.json.gz"
    assert [file.name for file in here.iterdir()] == ["run.trace.json.gz"] and said.out == ""


def test_a_second_capture_has_a_name_of_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for _ in range(3):
        with traceanalyzer.profile(**SHORT) as p:
            loop(p)
        names.append(p.path.name)
    stem = names[0].removesuffix(".trace.json.gz")
    assert stem.startswith("train.") and names[1:] == [f"{stem}.{n}.trace.json.gz" for n in (2, 3)]
    assert [line.rpartition("wrote ")[2] for line in capsys.readouterr().err.splitlines()] == names


def test_an_object_used_again_writes_another_file(here: Path) -> None:
    p = traceanalyzer.profile("run.trace.json.gz", quiet=True, **SHORT)
    names = []
    for _ in range(3):
        with p:
            loop(p)
        names.append(p.path.name)
        assert p.report().window.step_count == 1
    assert names == ["run.trace.json.gz", "run.2.trace.json.gz", "run.3.trace.json.gz"]


def test_a_loop_that_is_too_short_names_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    p = traceanalyzer.profile("run.json.gz", **SHORT | {"wait": 9})
    too_few = "0 of 1 steps were captured, and run.json.gz is not written"
    with pytest.warns(UserWarning, match=too_few), p:
        loop(p, 2)
    assert capsys.readouterr().err == ""
    with pytest.raises(UsageError, match="nothing is captured in run.json.gz"):
        p.report()


def test_one_inside_another_is_disabled(here: Path) -> None:
    with traceanalyzer.profile("a.json.gz", quiet=True, **SHORT) as outer:
        inner = traceanalyzer.profile("b.json.gz", quiet=True, **SHORT)
        with pytest.warns(UserWarning, match="into a.json.gz is not over, so this one is disabled"), inner:
            loop(inner, 2)
        loop(outer)
    assert [file.name for file in here.iterdir()] == ["a.json.gz"] and outer.report().window.step_count == 1
    with pytest.raises(UsageError, match="nothing is being captured"):
        inner.step()


def test_in_a_notebook_the_name_is_not_the_kernel_s(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/ipykernel_launcher.py"])
    assert traceanalyzer.profile(**SHORT).path.name.startswith("notebook.")
