"""Window and steps against a slow calculation from the file's own rows, which shares no code with ours."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from traceanalyzer.trace import load, select_window
from traceanalyzer.trace.linking.devices import devices_with_work

pytestmark = pytest.mark.slow
FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")
LARGEST = 40_000_000  # bytes of a file that this reads in whole
REAL = [
    path for path in sorted(Path(FOLDER).rglob("[!n]*.json.gz") if FOLDER else [])
    if path.stat().st_size < LARGEST
]  # fmt: skip
# Whose host was ahead when the recording began, or behind when it ended.
UNLIKE = ("infer_qwen_h100", "train_gpt_compiled_h100", "train_resnet_checkpoint_mi300x", "train_v100_float")
DEVICE = {"kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset", "concurrent_kernel"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as file:
        document = json.loads(file.read().decode("utf-8", "replace"), strict=False)
    rows = document["traceEvents"] if isinstance(document, dict) else document
    return [row for row in rows if isinstance(row, dict) and row.get("ph") == "X" and "dur" in row]


def cuts(rows: list[dict[str, Any]], device: int, names: set[str]) -> list[float]:
    """Where each step begins on the device, and where the last one ends, in microseconds."""
    launches = {}
    for row in rows:
        if row.get("cat", "").lower() in ("cuda_runtime", "cuda_driver", "runtime") and "args" in row:
            launches[row["args"].get("correlation")] = row["ts"]
    work = [row for row in rows if row.get("cat", "").lower() in DEVICE]
    work = [row for row in work if int(row["args"].get("device", row["pid"])) == device]
    timed = [
        (launches.get(row["args"].get("correlation")), row["ts"], row["ts"] + row["dur"],
         row["args"].get("stream"), "mem" not in row["cat"].lower()) for row in work
    ]  # fmt: skip
    steps = sorted(
        {(row["ts"], row["ts"] + row["dur"]) for row in rows if row["name"] in names
         and row.get("cat", "").lower() in ("user_annotation", "cpu_op", "operator")}
    )  # fmt: skip
    found: list[float] = []
    main_before: list[float] = []  # ends of the step before, on its main stream
    for begin, end in steps:
        inside = [each for each in timed if each[0] is not None and begin <= each[0] <= end]
        first = min((start for _, start, *_ in inside), default=None)
        before = [
            (stop, stream)
            for launch, start, stop, stream, _ in timed
            if (first is not None and start < first if launch is None else launch < begin)
        ]
        if inside:
            # The main stream has most of the step's kernels, else most of its copies. Of other streams only
            # what is over when the step's own work begins there.
            counted = [stream for *_, stream, kernel in inside if kernel] or [each[3] for each in inside]
            main = min(set(counted), key=lambda stream: (-counted.count(stream), stream))
            opens = min(start for _, start, _, stream, _ in inside if stream == main)
            ends = [stop for stop, stream in before if stream == main or stop <= opens]
            found.append(max([begin, *found[-1:], *ends, *main_before]))
            main_before = [max(stop for _, _, stop, stream, _ in inside if stream == main)]
        else:
            found.append(max([begin, *found[-1:], *main_before]))
    ends = [
        stop
        for launch, _, stop, *_ in timed
        if launch is not None and any(begin <= launch <= end for begin, end in steps)
    ]
    return [*found, max([*ends, *(end for _, end in steps)])]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name.partition(".")[0])
def test_every_step_is_where_a_slow_calculation_finds_it(path: Path) -> None:
    trace = load(str(path))
    if trace.on_cpu or not trace.steps:
        return  # nothing to be found
    rows = rows_of(path)
    for device in devices_with_work(trace):
        window = select_window(trace, device)
        if not window.steps:
            continue
        expected = cuts(rows, device, {step.name for step in window.steps})
        first = min(row["ts"] for row in rows if row["name"] == window.steps[0].name)
        offset = window.steps[0].start_ns / 1000 - first
        assert [cut / 1000 - offset for cut in window.cuts] == pytest.approx(expected, abs=1.0)
        annotated = sum(step.end_ns - step.start_ns for step in window.steps) / 1000
        unlike = abs((expected[-1] - expected[0]) / annotated - 1) > 0.1
        assert unlike == ("window_unlike_steps" in {notice.code for notice in window.notices})
        assert not unlike or any(path.name.startswith(name) for name in UNLIKE)
