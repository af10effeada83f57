"""Options of `profile`: modules, the schedule, what is recorded, where it goes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, bare, document, finished, profiled, steps
from traceanalyzer import analyze
from traceanalyzer.collect.evidence import VERSION

PLAIN = str(SCRIPTS / "plain.py")


@pytest.mark.slow
def test_a_module_runs_as_with_python_m(tmp_path: Path) -> None:
    words = ("-m", "package.train", "-m", "--lr", "1", "--", "x")
    here = {"PYTHONPATH": str(SCRIPTS)}
    alone, ours = bare(tmp_path, *words, **here), profiled(tmp_path, *words, **here)
    assert (ours.code, ours.stdout) == (0, alone.stdout) and alone.code == 0
    assert steps(tmp_path / "t.trace.json.gz") == [5, 6, 7]


@pytest.mark.slow
def test_stacks_and_allocations_are_recorded_as_asked(tmp_path: Path) -> None:
    profiled(tmp_path, PLAIN, options=["--stack", "--no-memory", "--no-evidence"])
    found = document(tmp_path / "t.trace.json.gz")
    names = {event.get("cat") for event in found["traceEvents"]}
    assert "python_function" in names and "traceanalyzeEvidence" not in found
    assert not any(event.get("name") == "[memory]" for event in found["traceEvents"])
    assert analyze(tmp_path / "t.trace.json.gz").window.step_count == 3


def test_what_is_recorded_by_default(tmp_path: Path) -> None:
    """Allocations, shapes, modules, evidence, and our own record; the schedule from the environment."""
    run = profiled(tmp_path, PLAIN, TRACEANALYZE_PROFILE_ACTIVE="2", TRACEANALYZE_PROFILE_WAIT="2")
    found = document(tmp_path / "t.trace.json.gz")
    assert run.code == 0 and steps(tmp_path / "t.trace.json.gz") == [4, 5]
    events = found["traceEvents"]
    assert any(event.get("name") == "[memory]" for event in events)
    assert any(event.get("args", {}).get("Input Dims") for event in events)
    assert {e["name"] for e in events if e["name"].startswith("nn.Module: ")} == {
        f"nn.Module: {name}" for name in ("Sequential", "0", "1", "2")
    }
    record = found["traceanalyze"]
    assert (record["wait"], record["warmup"], record["active"], record["complete"]) == (2, 2, 2, True)
    assert record["command"].startswith("traceanalyze profile ") and record["script"] == PLAIN
    assert record["profiled_step_ns"] > 0 and record["unprofiled_step_ns"] > 0
    assert record["peak_memory_bytes"] > 10_000_000 and record["cpu_roofs"] is None


def test_what_one_operator_writes_another_is_seen_to_read(tmp_path: Path) -> None:
    """model: linear, gelu, linear. The storage that gelu reads is the one the first product wrote."""
    profiled(tmp_path, PLAIN)
    found = document(tmp_path / "t.trace.json.gz")["traceanalyzeEvidence"]
    columns = ("name", "thread", "parent", "ended", "dims", "inputs", "outputs", "mutated")
    assert found["version"] == VERSION and len({len(found[column]) for column in columns}) == 1
    names = [found["names"][name] for name in found["name"]]
    first, gelu = names.index("aten::addmm"), names.index("aten::gelu")
    assert first < gelu and found["inputs"][gelu][0][1] == found["outputs"][first][0][1]
    assert names[found["parent"][first]] == "aten::linear"
    in_place = [row for row, name in enumerate(names) if name in ("aten::add_", "aten::mul_", "aten::lerp_")]
    assert in_place and all(found["mutated"][row] == [0] for row in in_place)


def test_names_of_files_are_filled_in_and_the_page_lies_beside_the_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "traceanalyzer", "profile", "-q", "--no-roofs", "--no-evidence",
               "-o", "{script}-{rank}.trace.json.gz", PLAIN]  # fmt: skip
    done = finished(command, tmp_path)
    assert done.code == 0 and done.stderr == ""
    assert sorted(os.listdir(tmp_path)) == ["plain-0.trace.json.gz", "plain-0.trace.report.html"]


def test_by_default_the_name_holds_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--no-roofs", PLAIN]
    done = finished(command, tmp_path)
    (trace,) = tmp_path.iterdir()
    assert trace.name.startswith("plain.") and trace.name.endswith(".trace.json.gz")
    assert done.said[-1] == f"traceanalyze: next: traceanalyze report {trace.name}"
