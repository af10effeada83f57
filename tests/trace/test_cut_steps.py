"""A cut file lacks the rows of the GPU of its last steps, which come last in it: they are no idle time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer

STEPS, EACH_US, KERNEL_US = 5, 1000, 900


def row(cat: str, name: str, tid: int, ts: float, dur: float, **args: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "pid": 1, "tid": tid, "ts": ts, "dur": dur, "args": args}


def cut(folder: Path, kernels: int) -> Path:
    """All rows of the host, so many of the GPU, one a step, and a part of the next."""
    host, device = [], []
    for number in range(STEPS):
        start = number * EACH_US
        host += [
            row("user_annotation", f"ProfilerStep#{number}", 1, start, EACH_US),
            row("cuda_runtime", "cudaLaunchKernel", 1, start + 10, 5, correlation=number + 1),
        ]
        device.append(
            row("kernel", "gemm", 7, start + 20, KERNEL_US, correlation=number + 1, device=0, stream=7)
        )
    text = [json.dumps(each) for each in (*host, *device)]
    whole = len(host) + kernels
    tail = ",\n" + text[whole][:40] if whole < len(text) else "]}"
    path = folder / "cut.json"
    path.write_text('{"schemaVersion": 1, "traceEvents": [\n' + ",\n".join(text[:whole]) + tail)
    return path


@pytest.mark.parametrize("kernels", [2, 3, 4])
def test_steps_whose_rows_are_lost_are_left_out(kernels: int, tmp_path: Path) -> None:
    """The step of the last row that is there may lack others."""
    analysis = traceanalyzer.analyze(cut(tmp_path, kernels))
    assert {"truncated", "steps_not_recorded"} <= {notice.code for notice in analysis.source.warnings}
    assert analysis.window.steps == tuple(f"ProfilerStep#{number}" for number in range(kernels - 1))
    assert analysis.time.busy_ns == (kernels - 1) * KERNEL_US * 1000


def test_a_whole_file_keeps_its_steps(tmp_path: Path) -> None:
    analysis = traceanalyzer.analyze(cut(tmp_path, STEPS))
    assert analysis.window.step_count == STEPS
    assert "steps_not_recorded" not in {notice.code for notice in analysis.source.warnings}
