"""The critical path: by hand on small traces, and what holds on every trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.pipeline.real import files
from traceanalyzer import AnalyzeOptions, UsageError
from traceanalyzer.cli import main
from traceanalyzer.records import VERDICTS, Analysis
from traceanalyzer.records.critical_path import PATH_PARTS, CriticalPath, PathOp

US = 1000
RELU_US = 10 + 10 + 1 + 8 + 20  # mm, add, and relu up to its launch on the host; to its kernel; the kernel


def two_streams() -> Kineto:
    """One step of 200 µs. Host: mm 10 to 20, add 20 to 30, item 30 to 190, which waits for the device.

    Stream 7: mm 15 to 115, then add 117 to 147. Stream 9: relu 40 to 60, launched by relu at 31.
    """
    trace = Kineto()
    trace.annotation("ProfilerStep#1", 0, 200)
    trace.op("aten::mm", 10, 10)
    trace.kernel("gemm", 15, 100, trace.launch(12))
    trace.op("aten::add", 20, 10)
    trace.kernel("add_kernel", 117, 30, trace.launch(22))
    trace.op("aten::relu", 31, 5)
    trace.kernel("relu_kernel", 40, 20, trace.launch(32), stream=9)
    return trace


def analyzed(trace: Kineto, folder: Path) -> Analysis:
    return traceanalyzer.analyze(trace.write(folder / "t.json"), options=AnalyzeOptions(critical_path=True))


def path_of(analysis: Analysis) -> CriticalPath:
    assert analysis.critical_path is not None, analysis.source.warnings
    return analysis.critical_path


def row(path: CriticalPath, name: str) -> PathOp | None:
    """The kernels of an operator on the path."""
    return next((each for each in path.ops if each.name == name and each.verdict), None)


def check_sums(path: CriticalPath) -> None:
    """Every way to add it up gives its length, which is at most the step's."""
    parts = {part.part: part.time_ns for part in path.other}
    assert tuple(parts) == PATH_PARTS and tuple(part.verdict for part in path.by_verdict) == VERDICTS
    verdicts = sum(part.time_ns for part in path.by_verdict)
    assert verdicts + sum(parts.values()) == path.length_ns <= path.step_ns
    assert sum(part.time_ns for part in path.by_module) == path.length_ns
    gaps = parts["launch"] + parts["between_kernels"]
    assert sum(each.time_ns for each in path.ops) + gaps == path.length_ns
    assert min(parts.values()) >= 0 and all(each.time_ns > 0 for each in path.ops)
    for each in path.ops:
        assert each.gain_ns is None or 0 <= each.gain_ns <= each.time_ns


@pytest.mark.slow
def test_by_hand(tmp_path: Path) -> None:
    """mm's 2 µs up to its launch, 3 to its kernel, 100 in it, 2 to the next, 30 in that one."""
    path = path_of(analyzed(two_streams(), tmp_path))
    check_sums(path)
    assert path.step == "ProfilerStep#1" and path.step_ns == 200 * US
    assert path.length_ns == 137 * US
    assert {part.part: part.time_ns for part in path.other} == {
        "host": 2 * US, "launch": 3 * US, "between_kernels": 2 * US,
    }  # fmt: skip
    gemm, add = row(path, "aten::mm"), row(path, "aten::add")
    assert gemm is not None and add is not None
    assert (gemm.time_ns, gemm.kernels) == (100 * US, 1) and (add.time_ns, add.kernels) == (30 * US, 1)


@pytest.mark.slow
def test_what_shortening_a_row_gives(tmp_path: Path) -> None:
    """Without gemm 37 µs are left of its path, and another takes over: add gives all of its time."""
    path = path_of(analyzed(two_streams(), tmp_path))
    gemm, add = row(path, "aten::mm"), row(path, "aten::add")
    assert gemm is not None and gemm.gain_ns == (137 - RELU_US) * US
    assert add is not None and add.gain_ns == 30 * US
    assert row(path, "aten::relu") is None


@pytest.mark.slow
def test_a_kernel_off_the_path_changes_nothing(tmp_path: Path) -> None:
    trace = two_streams()
    faster = two_streams()
    for event in faster.events:
        if event["name"] == "relu_kernel":
            event["dur"] = 1
    assert path_of(analyzed(trace, tmp_path)).length_ns == path_of(analyzed(faster, tmp_path)).length_ns


@pytest.mark.slow
def test_a_wait_for_an_event_leads_from_stream_to_stream(tmp_path: Path) -> None:
    """A kernel that waits for gemm on another stream continues gemm's path."""
    trace = two_streams()
    trace.events = [event for event in trace.events if "add" not in event["name"]]
    record = trace.launch(40, api="cudaEventRecord")
    wait = trace.launch(42, api="cudaStreamWaitEvent")
    trace.events.append({
        "ph": "X", "cat": "cuda_sync", "name": "Stream Wait Event", "pid": 0, "tid": 9, "ts": 42, "dur": 1,
        "args": {"stream": 9, "correlation": wait, "device": 0, "wait_on_stream": 7,
                 "wait_on_cuda_event_record_corr_id": record},
    })  # fmt: skip
    trace.op("aten::mul", 43, 5)
    trace.kernel("mul_kernel", 116, 50, trace.launch(44), stream=9)
    path = path_of(analyzed(trace, tmp_path))
    check_sums(path)
    names = {each.name for each in path.ops if each.verdict}
    assert names == {"aten::mm", "aten::mul"} and path.length_ns == (2 + 3 + 100 + 50) * US


@pytest.mark.slow
def test_it_adds_up_on_real_traces(real_traces: Path) -> None:
    seen = 0
    for file in files(real_traces):
        if (
            file.stat().st_size > 2_000_000
            or file.parent.name.startswith("train_megatron")
            and "0" not in file.name
        ):
            continue
        analysis = traceanalyzer.analyze(file, options=AnalyzeOptions(critical_path=True))
        if analysis.critical_path is not None:
            check_sums(analysis.critical_path)
            seen += 1
        else:
            assert "critical_path_failed" in {notice.code for notice in analysis.source.warnings}, file
    assert seen >= 5


@pytest.mark.slow
def test_a_trace_of_a_cpu_has_a_notice(tmp_path: Path) -> None:
    trace = Kineto(device=None)
    trace.op("aten::mm", 10, 10)
    analysis = analyzed(trace, tmp_path)
    assert analysis.critical_path is None
    [notice] = [each for each in analysis.source.warnings if each.code == "critical_path_failed"]
    assert "no GPU activity" in notice.message


@pytest.mark.slow
def test_whatever_fails_in_hta_the_report_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError("two\nlines")

    monkeypatch.setattr("hta.analyzers.critical_path_analysis.CPGraph.__init__", fails)
    file = two_streams().write(tmp_path / "t.json")
    report = tmp_path / "r.json"
    done = CliRunner().invoke(main, ["report", str(file), "--critical-path", "-o", str(report)])
    assert done.exit_code == 0, done.output
    written = json.loads(report.read_text())
    assert written["critical_path"] is None and written["time"]["busy_ns"] > 0
    messages = [each["message"] for each in written["source"]["warnings"]]
    assert "there is no critical path: two lines" in messages


def test_without_the_extra_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hta", None)
    file = two_streams().write(tmp_path / "t.json")
    done = CliRunner().invoke(main, ["report", str(file), "--critical-path"])
    assert done.exit_code == 2 and len(done.output.splitlines()) == 1
    assert "pip install 'torch-traceanalyzer[hta]'" in done.output
    with pytest.raises(UsageError, match=r"pip install 'torch-traceanalyzer\[hta\]'"):
        traceanalyzer.analyze(file).to_hta()
