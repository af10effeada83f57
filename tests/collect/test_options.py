"""Options of `profile`: modules, the schedule, what is recorded, where it goes."""

from __future__ import annotations

import mmap
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, Run, bare, document, finished, left_alone, profiled, steps
from traceanalyzer import analyze
from traceanalyzer.collect.evidence import VERSION

PLAIN = str(SCRIPTS / "plain.py")
PROFILE = (sys.executable, "-m", "traceanalyzer", "profile", "--no-roofs")


@dataclass(frozen=True, slots=True)
class Captured:
    """One run of the plain loop, which several tests look at, and the files that it left."""

    run: Run
    files: list[Path]


@pytest.fixture(scope="module")
def by_default(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """The trace alone, named by default."""
    folder = tmp_path_factory.mktemp("default")
    run = finished([*PROFILE, "--no-report", PLAIN], folder)
    return Captured(run, sorted(folder.iterdir()))


@pytest.fixture(scope="module")
def as_asked(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """With the page, a name and a schedule; a file of that name lies there already."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "plain-0.trace.json.gz").write_text("mine")
    words = ("-q", "--force", "-o", "{script}-{rank}.trace.json.gz", PLAIN)
    schedule = {"TRACEANALYZE_PROFILE_ACTIVE": "2", "TRACEANALYZE_PROFILE_WAIT": "2"}
    run = finished([*PROFILE, *words], folder, **schedule)
    return Captured(run, sorted(folder.iterdir()))


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


def test_a_plain_loop_is_captured_and_left_alone(by_default: Captured, tmp_path: Path) -> None:
    alone = bare(tmp_path, PLAIN)
    left_alone(alone, by_default.run)
    assert by_default.run.code == alone.code == 0
    (trace,) = by_default.files
    assert steps(trace) == [5, 6, 7] and document(trace)["traceanalyze"]["complete"] is True


def test_what_is_recorded_by_default(as_asked: Captured) -> None:
    """Allocations, shapes, modules, and our own record; the schedule from the environment."""
    trace, _ = as_asked.files
    found = document(trace)
    assert as_asked.run.code == 0 and steps(trace) == [4, 5]
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
    faults = (record["minor_faults_per_step"], record["profiled_page_faults"])
    times = (record["system_ns_per_step"], record["profiled_system_ns"])
    assert all(0 <= each < 10**6 for each in faults) and all(0 <= each < 10**11 for each in times)
    assert record["page_bytes"] == mmap.PAGESIZE
    assert record["peak_memory_bytes"] > 10_000_000 and record["cpu_roofs"] is None


def test_what_one_operator_writes_another_is_seen_to_read(by_default: Captured) -> None:
    """model: linear, gelu, linear. The storage that gelu reads is the one the first product wrote."""
    found = document(by_default.files[0])["traceanalyzeEvidence"]
    columns = ("name", "thread", "parent", "ended", "dims", "inputs", "outputs", "mutated")
    assert found["version"] == VERSION and len({len(found[column]) for column in columns}) == 1
    names = [found["names"][name] for name in found["name"]]
    first, gelu = names.index("aten::addmm"), names.index("aten::gelu")
    assert first < gelu and found["inputs"][gelu][0][1] == found["outputs"][first][0][1]
    assert names[found["parent"][first]] == "aten::linear"
    in_place = [row for row, name in enumerate(names) if name in ("aten::add_", "aten::mul_", "aten::lerp_")]
    assert in_place and all(found["mutated"][row] == [0] for row in in_place)


def test_names_of_files_are_filled_in_and_the_page_lies_beside_the_trace(as_asked: Captured) -> None:
    """What was there is replaced, as asked."""
    assert as_asked.run.code == 0 and as_asked.run.stderr == ""
    names = [file.name for file in as_asked.files]
    assert names == ["plain-0.trace.json.gz", "plain-0.trace.report.html"]


def test_by_default_the_name_holds_the_process(by_default: Captured) -> None:
    (trace,) = by_default.files
    assert trace.name.startswith("plain.") and trace.name.endswith(".trace.json.gz")
    assert by_default.run.said[-1] == f"traceanalyze: next: traceanalyze report {trace.name}"
