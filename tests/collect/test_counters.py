"""`profile --counters`: a further step with hardware counters, or a line that says why there is none.

No GPU is at hand: what the profiler would write is written by hand, as in tests/trace/test_counted.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.collect.harness import SCRIPTS, document, profiled
from tests.trace.test_counted import recorded
from traceanalyzer import analyze
from traceanalyzer.cli.trace_target import counters_path
from traceanalyzer.collect import counters
from traceanalyzer.collect.capture import Capture, CaptureResult, FurtherSteps
from traceanalyzer.collect.run import ProfileRequest, TraceSaver
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import Script
from traceanalyzer.collect.session import CapturePhase, Session
from traceanalyzer.records.errors import UsageError


def session_of(folder: Path, schedule: Schedule, said: list[str]) -> tuple[Session, list[CapturePhase]]:
    """A loop of 14 steps, and the phases it went through."""
    kept: list[CaptureResult] = []
    session = Session(schedule, folder, kept.append, said.append)
    session.begin()
    phases = [session.phase]
    for _ in range(14):
        torch.ones(2).add(1)
        session.step()
        phases.append(session.phase)
    session.finish()
    return session, [after for before, after in zip([None, *phases], phases, strict=False) if after != before]


def test_a_further_step_is_recorded_behind_the_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pause in between; no time is taken from either."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(counters, "missing", lambda: None)
    monkeypatch.setattr(counters, "options", lambda: made.append({}) or {})
    said: list[str] = []
    session, phases = session_of(tmp_path, Schedule(1, 0, 2, counters=True), said)
    assert [phase.name for phase in phases] == [
        "WAIT", "ACTIVE", "PAUSE", "FURTHER", "PAUSE", "FURTHER", "AFTER", "DONE",
    ]  # fmt: skip
    assert session.result is not None and len(session.result.steps) == len(session.result.step_ns) == 2
    assert session.result.further.counters is not None and len(made) == 1 and not said
    names = {
        event.get("name") for event in json.loads(session.result.further.counters.read_bytes())["traceEvents"]
    }
    assert "ProfilerStep#6" in names, "steps 1 and 2 are captured, 4 has the evidence"


def test_where_none_can_be_recorded_a_line_says_why(tmp_path: Path) -> None:
    said: list[str] = []
    session, phases = session_of(tmp_path, Schedule(1, 0, 2, counters=True), said)
    (line,) = said
    assert line.endswith("only those of an NVIDIA GPU can be recorded, and this run has none")
    assert session.result is not None and session.result.further.counters is None
    assert [phase.name for phase in phases].count("FURTHER") == 1


@pytest.mark.parametrize(
    ("cuda", "options", "said"),
    [
        ("12.6", "profiler_metrics", None), ("11.8", "profiler_metrics", None),
        ("12.8", "profiler_metrics", "PyTorch for CUDA 12.8 cannot"),
        ("13.0", "", "PyTorch for CUDA 13.0 cannot"), ("12.6", "", "cannot any more"),
    ],
)  # fmt: skip
def test_which_builds_of_pytorch_can(
    cuda: str, options: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Config:
        def __init__(self) -> None: ...

    Config.__init__.__doc__ = options
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(counters, "_config", lambda: Config)
    why = counters.missing()
    assert (why is None) == (said is None)
    if why is not None and said is not None:
        assert said in why and "ncu --metrics dram__bytes_read.sum,dram__bytes_write.sum" in why


def test_the_profiler_takes_the_options(tmp_path: Path) -> None:
    """Those of the pinned PyTorch, which knows them still: on a CPU they count nothing."""
    assert counters.options()["experimental_config"] is not None
    Capture(Schedule(), tmp_path / "raw.json", options=counters.options())


@pytest.fixture
def saver(tmp_path: Path) -> Callable[[list[dict[str, Any]]], list[str]]:
    """Saves a capture whose step with counters holds these rows; what was said about it."""

    def save(rows: list[dict[str, Any]]) -> list[str]:
        for name, events in (("raw.json", []), ("counters.json", rows)):
            (tmp_path / name).write_text(json.dumps({"schemaVersion": 1, "traceEvents": events}))
        said: list[str] = []
        request = ProfileRequest(
            Script("train.py", (), False), tmp_path / "t.trace.json.gz", Schedule(), "", None,
            tmp_path / "t.counters.trace.json.gz",
        )  # fmt: skip
        result = CaptureResult(
            tmp_path / "raw.json", further=FurtherSteps(counters=tmp_path / "counters.json")
        )
        TraceSaver(request, said.append, lambda _: None).complete(result)
        return said

    return save


def test_its_trace_lies_beside_the_other_and_is_read(
    saver: Callable[[list[dict[str, Any]]], list[str]], tmp_path: Path
) -> None:
    (said,) = saver(recorded())
    path = tmp_path / "t.counters.trace.json.gz"
    assert said == f"wrote the bytes that each kernel moved. Next: traceanalyze report {path}"
    assert all(row.counter_bytes for row in analyze(path).op_rows)


def test_a_driver_that_gives_no_counters_is_told(
    saver: Callable[[list[dict[str, Any]]], list[str]], tmp_path: Path
) -> None:
    (said,) = saver([event for event in recorded() if event["cat"] != "cuda_profiler_range"])
    assert "NVreg_RestrictProfilingToAdminUsers" in said
    assert not (tmp_path / "t.counters.trace.json.gz").exists()


def test_the_name_of_its_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.rank3.trace.json.gz"
    assert counters_path(path, force=False).name == "run.rank3.counters.trace.json.gz"
    assert counters_path(tmp_path / "run.json", force=False).name == "run.counters.json.gz"
    (tmp_path / "run.counters.json.gz").touch()
    with pytest.raises(UsageError, match="would be replaced"):
        counters_path(tmp_path / "run.json", force=False)
    assert counters_path(tmp_path / "run.json", force=True)


@pytest.mark.slow
def test_a_script_on_a_cpu_is_profiled_all_the_same(tmp_path: Path) -> None:
    run = profiled(tmp_path, str(SCRIPTS / "plain.py"), options=["--counters"])
    assert run.code == 0 and document(tmp_path / "t.trace.json.gz")["traceEvents"]
    assert [line for line in run.said if "hardware counters are not recorded" in line]
