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
        (launches.get(row["args"].get("correlation")), row["ts"], row["ts"] + row["dur"]) for row in work
    ]
    steps = sorted(
        {(row["ts"], row["ts"] + row["dur"]) for row in rows if row["name"] in names
         and row.get("cat", "").lower() in ("user_annotation", "cpu_op", "operator")}
    )  # fmt: skip
    found: list[float] = []
    for begin, end in steps:
        inside = [start for launch, start, _ in timed if launch is not None and begin <= launch <= end]
        before = [
            stop
            for launch, start, stop in timed
            if (start < min(inside, default=start) if launch is None else launch < begin)
        ]
        found.append(max([begin, *found[-1:], *before]))
    ends = [
        stop
        for launch, _, stop in timed
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
