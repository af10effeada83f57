"""Several processes in one file: each is reported as if its own file had been given."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer
from tests.pipeline.kineto import H100, Kineto
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Analysis
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.sentence import headline
from traceanalyzer.trace import load_processes

Event = dict[str, Any]
Rename = Callable[[int, Event], None]
HALF = "c10::Half"


def process(rank: int, device: int) -> Kineto:
    """Two steps of products, as many as the rank says more; ids count from 1 in each process."""
    t = Kineto(device=dict(H100), correlation=0)
    t.metadata["deviceProperties"] = [dict(H100) | {"id": each} for each in range(4)]
    for step in range(2):
        begin = 10_000.0 * step + 30 * rank
        t.annotation(f"ProfilerStep#{step}", begin, 9_000)
        at = begin + 100
        t.op("aten::copy_", at, 20, ([64], "float"))
        copied = t.launch(at + 1, api="cudaMemcpyAsync")
        t.kernel("Memcpy HtoD (Pageable -> Device)", at + 12, 8, copied, cat="gpu_memcpy", device=device)
        for i in range(20 + 3 * rank):
            at += 200
            name, size = ("aten::mm", 1024 * (1 + rank % 2)) if i % 2 else ("aten::add", 4096)
            t.op(name, at, 40, ([size, size], HALF), ([size, size], HALF), **{"External id": 1000 + i})
            t.kernel(name[6:], at + 15, 60 + 10 * rank, t.launch(at + 2), device=device, stream=7 + i % 2)
    return t


def sglang(rank: int, event: Event) -> None:
    event["pid"] = f"[TP{rank:02}] {event['pid']}"


def shifted(rank: int, event: Event) -> None:
    event["pid"] += rank * 1_000_000
    if "correlation" in event["args"]:
        event["args"]["correlation"] += rank * 1_000_000


def host_only(rank: int, event: Event) -> None:
    if event["pid"] == 10:
        event["pid"] = 4100 + rank


def by_rank(rank: int, event: Event) -> None:
    event["pid"] = rank


def called(rank: int, event: Event) -> None:
    event["pid"] = f"rank{rank}/{event['pid']}"


PIDS = {shifted: (10, 1_000_010, 2_000_010), host_only: (4100, 4101, 4102)}  # that name no rank


def alone(folder: Path, devices: list[int]) -> list[Analysis]:
    paths = [process(rank, device).write(folder / f"rank{rank}.json") for rank, device in enumerate(devices)]
    return [traceanalyzer.analyze(path) for path in paths]


def merged(folder: Path, devices: list[int], rename: Rename) -> Path:
    joined = process(0, devices[0])
    joined.events = []
    for rank, device in enumerate(devices):
        for event in copy.deepcopy(process(rank, device).events):
            rename(rank, event)
            joined.events.append(event)
    return joined.write(folder / "merged.json.gz")


def told(analysis: Analysis) -> tuple[Any, ...]:
    """What must not depend on the file's other processes."""
    rows = analysis.ops.to_csv()
    return analysis.window, analysis.time, analysis.verdicts, analysis.memory_bound, rows


@pytest.mark.parametrize("devices", [[0, 1, 2], [0, 0, 0]], ids=["own devices", "all call it 0"])
@pytest.mark.parametrize("rename", [sglang, shifted, host_only, by_rank, called])
def test_each_process_is_reported_as_if_alone(tmp_path: Path, rename: Rename, devices: list[int]) -> None:
    path = merged(tmp_path, devices, rename)
    for rank, (expected, device) in enumerate(zip(alone(tmp_path, devices), devices, strict=True)):
        number = PIDS[rename][rank] if rename in PIDS else rank
        found = traceanalyzer.analyze(path, options=AnalyzeOptions(rank=number, gpu=device))
        assert told(found) == told(expected)
        assert found.ranks is not None
        named = [(None if rename in PIDS else rank, device) for rank, device in enumerate(devices)]
        assert [(r.rank, r.device_index) for r in found.ranks] == named
        assert (f"(process {number})" in found.source.files[0].path) == (rename in PIDS)
        assert "several_processes" in {notice.code for notice in found.source.warnings}


def test_processes_that_do_the_same_at_one_time_follow_the_order_of_their_devices(
    tmp_path: Path,
) -> None:
    joined = process(0, 0)
    for event in copy.deepcopy(joined.events):
        host_only(1, event)
        if event["pid"] == 0:
            event["pid"] = event["args"]["device"] = 1
        joined.events.append(event)
    first, second = load_processes(str(joined.write(tmp_path / "t.json")))
    assert (set(first.kernels.device.tolist()), set(second.kernels.device.tolist())) == ({0}, {1})
    assert first.kernels.start_ns.tolist() == second.kernels.start_ns.tolist()


def test_device_rows_alone_are_told_apart_by_their_pids(tmp_path: Path) -> None:
    joined = process(0, 0)
    kept = [event for event in joined.events if event["cat"] in ("kernel", "gpu_memcpy")]
    joined.events = []
    for rank in range(2):
        for event in copy.deepcopy(kept):
            shifted(rank, event)
            event["ts"] += 10 * rank
            joined.events.append(event)
    found = load_processes(str(joined.write(tmp_path / "t.json")))
    assert [trace.rank for trace in found] == [None, None]
    assert [trace.path.rpartition(" (")[2] for trace in found] == ["process 0)", "process 1000000)"]
    assert [len(trace.kernels) for trace in found] == [len(kept)] * 2


def test_ranks_are_those_that_the_pids_name(tmp_path: Path) -> None:
    def named(rank: int, event: Event) -> None:
        event["pid"] = f"[DP{5 - rank}] {event['pid']}"

    assert [trace.rank for trace in load_processes(str(merged(tmp_path, [0, 1], named)))] == [4, 5]


def test_a_process_without_device_activity_is_left_out_and_counted(tmp_path: Path) -> None:
    path = merged(tmp_path, [0, 1], sglang)
    joined = process(0, 0)
    joined.events = []
    for rank, device in enumerate([0, 1]):
        for event in process(rank, device).events:
            if rank == 0 or "cuda" in event["cat"] or "cpu" in event["cat"]:
                sglang(rank, event)
                joined.events.append(event)
    (only,) = load_processes(str(joined.write(path)))
    notice = next(n for n in only.warnings if n.code == "several_processes")
    assert (only.rank, notice.count) == (0, 2)
    assert "1 without GPU activity" in notice.message


def test_the_usual_file_of_one_process_says_nothing(tmp_path: Path) -> None:
    t = process(0, 0)
    t.events.append({"ph": "X", "cat": "overhead", "name": "Activity Buffer Request", "pid": -1, "tid": 0,
                     "ts": 50, "dur": 5, "args": {}})  # fmt: skip
    t.events[0]["pid"] = 11  # one damaged row is no process
    (trace,) = load_processes(str(t.write(tmp_path / "t.json")))
    assert "several_processes" not in {notice.code for notice in trace.warnings}


def test_processes_of_a_cpu_run_are_apart(tmp_path: Path) -> None:
    t = Kineto(device=None)
    for i in range(5):
        t.op("aten::mm", 100 * i, 50, ([8, 8], "float"))
    for event in copy.deepcopy(t.events):
        event["pid"] = 11
        event["dur"] *= 2
        t.events.append(event)
    path = t.write(tmp_path / "t.json")
    found = [traceanalyzer.analyze(path, options=AnalyzeOptions(rank=rank)) for rank in (10, 11)]
    assert [analysis.source.files[0].rank for analysis in found] == [None, None]
    assert "t.json (process 10), one of 2" in headline(found[0]).lead
    with pytest.raises(UsageError, match="there is: process 10, process 11"):
        traceanalyzer.analyze(path, options=AnalyzeOptions(rank=0))
    assert [analysis.time.busy_ns for analysis in found] == [250_000, 500_000]
