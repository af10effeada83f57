"""Kernels that overlap: the time of a step is saved once, however many of them run in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import traceanalyzer
from traceanalyzer.records import Job

H100 = {
    "id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85017755648, "computeMajor": 9,
    "computeMinor": 0, "numSms": 132, "maxThreadsPerMultiprocessor": 2048,
}  # fmt: skip
TIME = 1000.0  # microseconds of a kernel


def _row(
    category: str, name: str, start: float, length: float, thread: int, **args: object
) -> dict[str, object]:
    return {"ph": "X", "cat": category, "name": name, "pid": 1, "tid": thread, "ts": start, "dur": length,
            "args": args}  # fmt: skip


def _clone(start: float) -> list[dict[str, object]]:
    """To another layout, of one matrix."""
    outer: dict[str, object] = {
        "Input Dims": [[4096, 4096]],
        "Input type": ["float"],
        "Concrete Inputs": [""],
    }
    inner: dict[str, object] = {
        "Input Dims": [[4096, 4096], []], "Input type": ["float", "Scalar"], "Concrete Inputs": ["", "0"],
        "Input Strides": [[1, 4096], []],
    }  # fmt: skip
    return [_row("cpu_op", "aten::contiguous", start, 90.0, 1, **outer),
            _row("cpu_op", "aten::clone", start + 1, 80.0, 1, **inner)]  # fmt: skip


def _matmul(start: float) -> list[dict[str, object]]:
    args: dict[str, object] = {
        "Input Dims": [[4096, 512], [512, 4096]], "Input type": ["float"] * 2, "Concrete Inputs": [""] * 2,
        "Input Strides": [[512, 1], [4096, 1]],
    }  # fmt: skip
    return [_row("cpu_op", "aten::mm", start, 90.0, 1, **args)]


def analyzed(folder: Path, *, together: bool, length: float = TIME) -> Job:
    """Three copies to another layout, then three matmuls in fp32, all at one time or one after another."""
    events = [_row("user_annotation", "ProfilerStep#0", 0.0, 20_000.0, 1)]
    for number in range(1, 7):
        start, copies = number * 100.0, number <= 3
        events += _clone(start) if copies else _matmul(start)
        events.append(_row("cuda_runtime", "cudaLaunchKernel", start + 5, 1.0, 1, correlation=number))
        name = "copy_kernel" if copies else "ampere_sgemm_128x64_nn"
        begin, stream = (2000.0, number) if together else (2000.0 + number * length, 7)
        events.append(_row("kernel", name, begin, length, stream, correlation=number, device=0, stream=stream,
                           grid=[4096, 1, 1], block=[256, 1, 1]))  # fmt: skip
    path = folder / "t.json"
    path.write_text(json.dumps({"deviceProperties": [H100], "traceEvents": events}), "utf-8")
    return traceanalyzer.analyze(path)


def bands(job: Job) -> dict[str, tuple[float, float]]:
    return {s.rule: (s.saving_per_step_ns.low, s.saving_per_step_ns.high)
            for s in job.suggestions or () if s.saving_per_step_ns}  # fmt: skip


def test_what_runs_at_one_time_is_saved_once(tmp_path: Path) -> None:
    apart, together = bands(analyzed(tmp_path, together=False)), bands(analyzed(tmp_path, together=True))
    assert set(apart) == set(together) == {"layout_copies", "tf32_products"}
    for rule, (_, high) in apart.items():
        assert together[rule][1] == pytest.approx(high / 6, rel=1e-5), "six share the instants that one had"
    assert sum(high for _, high in together.values()) <= TIME * 1000


def test_what_overlaps_may_save_nothing_and_says_so(tmp_path: Path) -> None:
    for suggestion in analyzed(tmp_path, together=True).suggestions or ():
        assert suggestion.saving_per_step_ns is not None and suggestion.saving_per_step_ns.low == 0
        assert any("overlap with others: 16.7 %" in caveat for caveat in suggestion.caveats)
    assert bands(analyzed(tmp_path, together=False))["tf32_products"][0] > 0


def test_a_step_of_no_length_saves_nothing(tmp_path: Path) -> None:
    job = analyzed(tmp_path, together=True, length=0.0)
    assert job.time.busy_ns == 0
    assert not [notice for notice in job.source.warnings if notice.code.endswith("_failed")]
