"""What becomes of values that cannot be: taken as missing, counted, and said."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer
from tests.robustness.documents import committed, document
from tests.robustness.mutations import DEEP, Text, written
from traceanalyzer.inference.output_shapes import _some_padding
from traceanalyzer.records import Job
from traceanalyzer.records.trace import Trace
from traceanalyzer.report import render
from traceanalyzer.trace import load

CPU, GPU = committed()[4:6]  # gpt_eager_cpu, and as if on a GPU


def trace(base: str, folder: Path, **members: Any) -> Trace:
    return load(str(saved(base, folder, **members)))


def saved(base: str, folder: Path, **members: Any) -> Path:
    file = folder / "trace.json"
    file.write_bytes(written({**document(base), **members}))
    return file


def codes(job: Job) -> dict[str, int]:
    return {notice.code: notice.count for notice in job.source.warnings}


@pytest.mark.parametrize(("value", "expected"), [
    ("12", 12), (" 7 ", 7), (2**62, 2**62), ("²", 0), (2**64, 0), (-5, 0), ("9" * 5000, 0), ("1e9", 0),
])  # fmt: skip
def test_the_clock_base_is_a_number_of_63_bits(value: Any, expected: int, tmp_path: Path) -> None:
    assert trace(CPU, tmp_path, baseTimeNanoseconds=value).base_ns == expected


@pytest.mark.parametrize(
    "name",
    [
        "peak_memory_bytes",
        "unprofiled_step_ns",
        "minor_faults_per_step",
        "profiled_system_ns",
        "page_bytes",
    ],
)
@pytest.mark.parametrize("value", [-1, 2**63, 10**40])
def test_recorded_numbers_that_cannot_be_are_not_recorded(name: str, value: int, tmp_path: Path) -> None:
    recorded = document(CPU)["traceanalyze"] | {name: value}
    job = traceanalyzer.analyze(saved(CPU, tmp_path, traceanalyze=recorded))
    assert job.recording is not None and getattr(job.recording, name) is None
    assert job.recording.torch == document(CPU)["traceanalyze"]["torch"]
    assert codes(job)["impossible_facts"] == 1


@pytest.mark.parametrize("name", ["minor_faults_per_step", "system_ns_per_step", "allocator"])
@pytest.mark.parametrize("value", ["many", "12", 1.5, None, [3], {"glibc": 1}])
def test_page_faults_of_another_type_are_not_recorded(name: str, value: Any, tmp_path: Path) -> None:
    recorded = document(CPU)["traceanalyze"] | {name: value}
    job = traceanalyzer.analyze(saved(CPU, tmp_path, traceanalyze=recorded))
    assert job.recording is not None and getattr(job.recording, name) is None
    assert job.recording.unprofiled_step_ns == document(CPU)["traceanalyze"]["unprofiled_step_ns"]


@pytest.mark.parametrize("bandwidth", [0, -1, float("inf"), 1e-300, Text("1e400")])
def test_roofs_that_no_processor_has_are_not_recorded(bandwidth: Any, tmp_path: Path) -> None:
    recorded = document(CPU)["traceanalyze"]
    roofs = recorded["cpu_roofs"] | {"bandwidth_bytes_per_s": bandwidth}
    job = traceanalyzer.analyze(saved(CPU, tmp_path, traceanalyze=recorded | {"cpu_roofs": roofs}))
    assert job.device.bandwidth_bytes_per_s is None
    assert codes(job)["impossible_facts"] == 1


def test_rows_that_last_days_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [dict(row) for row in document(GPU)["traceEvents"]]
    kernels = [row for row in rows if row.get("cat") == "kernel"]
    whole = traceanalyzer.analyze(saved(GPU, tmp_path))
    kernels[0]["dur"], kernels[1]["dur"] = 1.1e12, 9e15
    job = traceanalyzer.analyze(saved(GPU, tmp_path, traceEvents=rows))
    assert codes(job)["impossible_times"] == 2
    assert 0 < job.time.busy_ns <= whole.time.busy_ns


def test_a_row_days_from_all_others_is_left_out(tmp_path: Path) -> None:
    rows = [dict(row) for row in document(GPU)["traceEvents"]]
    kernels = [row for row in rows if row.get("cat") == "kernel"]
    kernels[5]["ts"] = 4e15
    job = traceanalyzer.analyze(saved(GPU, tmp_path, traceEvents=rows))
    assert codes(job)["impossible_times"] == 1
    assert job.window.window_ns < 10**12


def test_step_numbers_of_endless_digits_are_no_steps(tmp_path: Path) -> None:
    rows = [dict(row) for row in document(CPU)["traceEvents"]]
    for row in rows:
        if row["name"].startswith("ProfilerStep#"):
            row["name"] = "ProfilerStep#" + "9" * 5000
    assert trace(CPU, tmp_path, traceEvents=rows).steps == ()


@pytest.mark.parametrize("dims", [
    [[-4, 8]], [[2**62, 2]], [[2**40, 2**40]], [["a"]], [[[[]]]], [[[[2, 3]], [4]]],
    Text(f"[{DEEP}]"), Text("[[" + "9" * 5000 + "]]"),
])  # fmt: skip
def test_sizes_that_no_tensor_has_are_not_recorded(dims: Any, tmp_path: Path) -> None:
    args = {"Input Dims": dims, "Input type": ["float"], "Concrete Inputs": [""]}
    row = {
        "ph": "X",
        "cat": "cpu_op",
        "name": "aten::odd",
        "pid": 1,
        "tid": 1,
        "ts": 1.5,
        "dur": 2.5,
        "args": args,
    }
    plain = {**row, "ts": 5.5, "args": {**args, "Input Dims": [[3, 4]]}}
    calls = trace(CPU, tmp_path, traceEvents=[row, plain]).calls
    assert {call.dims(0) for call in calls} <= {(), (3, 4)}
    assert (3, 4) in {call.dims(0) for call in calls}


def test_texts_are_cleaned_where_they_are_read(tmp_path: Path) -> None:
    listed = [{**document(GPU)["deviceProperties"][0], "name": "a\ud800b"}]
    rows = [dict(row) for row in document(GPU)["traceEvents"]]
    rows[20]["name"] = "aten::\udc00x"
    job = traceanalyzer.analyze(saved(GPU, tmp_path, deviceProperties=listed, traceEvents=rows))
    assert job.device.name == "a?b"
    assert all(render(job, name).encode() for name in ("json", "html", "md", "csv", "svg", "txt"))


def test_cells_with_a_carriage_return_stay_cells(tmp_path: Path) -> None:
    rows = [dict(row) for row in document(CPU)["traceEvents"]]
    for row in rows:
        if row.get("cat") == "cpu_op":
            row["name"] = row["name"].replace("::", "::\r")
    job = traceanalyzer.analyze(saved(CPU, tmp_path, traceEvents=rows))
    lines = list(csv.reader(io.StringIO(render(job, "csv"))))
    assert [line[0] for line in lines[1:]] == [row.name for row in job.op_rows]
    assert any("\r" in line[0] for line in lines)


def test_some_padding_is_what_trying_every_padding_says() -> None:
    for size in range(12):
        for taps in range(7):
            for made in range(12):
                for stride in range(1, 6):
                    tried = any((size + 2 * pad - taps) // stride + 1 == made for pad in range(taps))
                    assert _some_padding(size, taps, made, stride) is tried
    assert _some_padding(2**40, 2**40, 1, 1) is True  # and does not try them
