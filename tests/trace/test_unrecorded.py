"""A device that worked and was not recorded: no verdict, no share and no suggestion from the host's time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer
from tests.files import loaded
from traceanalyzer.report.sentence import verdict_sentence


def row(cat: str, name: str, ts: float, dur: float, **args: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "pid": 7, "tid": 8, "ts": ts, "dur": dur, "args": args}


MUL = {"Input Dims": [[4096], [4096]], "Input type": ["float", "float"]}
OPS = [row("cpu_op", "aten::mul", 1000 + 50 * i, 30, **MUL) for i in range(200)]
LAUNCHES = [row("cuda_runtime", "cudaLaunchKernel", 1010 + 50 * i, 5, correlation=i + 1) for i in range(200)]
ON_A_GPU = {
    "launches": (LAUNCHES, "200 launches"),
    "cudnn": ([row("cpu_op", "aten::cudnn_convolution", 20_000, 9)], "aten::cudnn_convolution"),
    "cudnn's RNN": ([row("cpu_op", "aten::_cudnn_rnn", 20_000, 9)], "aten::_cudnn_rnn"),
    "miopen": ([row("cpu_op", "aten::miopen_batch_norm", 20_000, 9)], "aten::miopen_batch_norm"),
    "NCCL": ([row("user_annotation", "nccl:all_reduce", 20_000, 9)], "nccl:all_reduce"),
    "HPU": ([row("hpu_op", "fused_kernel", 20_000 + i, 1) for i in range(30)], "30 of category hpu_op"),
    "Ascend": ([row("async_npu", "MatMul", 20_000, 1)], "1 of category async_npu"),
    "placed": ([row("vendor_x", "gemm", 20_000, 1, device=0, stream=3)], "1 of category vendor_x"),
    "placed by text": ([row("gpu_work", "gemm", 20_000, 1, device=1, stream="0")], "1 of category gpu_work"),
    "NPU": ([row("npu_task", "MatMul", 20_000 + i, 1) for i in range(30)], "30 of category npu_task"),
}

HOST_ROWS = (
    "device_prefetch", "gpu", "vendor_x", "accelerator_api", "hpu_api", "xla_compile", "npuzzle", "gpu_queue",
    "xpu_runtime_x", "dataloader",
)  # fmt: skip


def analysis_of(rows: list[dict[str, Any]], folder: Path) -> traceanalyzer.Analysis:
    file = folder / "trace.json"
    file.write_text(json.dumps({"traceEvents": rows}))
    return traceanalyzer.analyze(str(file))


@pytest.mark.parametrize("kind", ON_A_GPU)
def test_the_host_is_not_judged_in_place_of_the_device(kind: str, tmp_path: Path) -> None:
    more, told = ON_A_GPU[kind]
    analysis = analysis_of(OPS + more, tmp_path)
    assert {each.verdict for each in analysis.verdicts if each.time_ns} == {"unmodelled"}
    assert {each.reason for each in analysis.op_rows} == {"not_recorded"}
    assert analysis.suggestions is None
    said = verdict_sentence(analysis)
    assert told in said and "%" not in said
    assert "--bandwidth" not in said and "--peak" not in said


def test_the_cause_is_told_right(tmp_path: Path) -> None:
    said = verdict_sentence(analysis_of(OPS + LAUNCHES, tmp_path))
    assert "records were lost" in said and "ProfilerActivity.CUDA" not in said


def test_a_cpu_is_judged_as_before(tmp_path: Path) -> None:
    gloo = [row("cpu_op", "record_param_comms", 20_000, 9), row("cpu_op", "c10d::allreduce_", 20_000, 9)]
    analysis = analysis_of(OPS + gloo, tmp_path)
    assert "not_recorded" not in {each.reason for each in analysis.op_rows}
    assert analysis.suggestions is not None


@pytest.mark.parametrize(
    "name", ["aten::cudnn_is_acceptable", "aten::_use_cudnn_ctc_loss", "aten::_use_miopen_ctc_loss",
             "aten::_use_cudnn_rnn_flatten_weight", "aten::_scaled_dot_product_flash_attention_for_cpu"],
)  # fmt: skip
def test_to_ask_for_a_library_of_gpus_is_not_to_run_on_one(name: str, tmp_path: Path) -> None:
    analysis = analysis_of([*OPS, row("cpu_op", name, 20_000, 9)], tmp_path)
    assert analysis.device.kind == "cpu" and analysis.suggestions is not None
    assert "gpu_not_captured" not in {notice.code for notice in analysis.source.warnings}


@pytest.mark.parametrize("category", HOST_ROWS)
def test_a_row_of_the_host_is_no_device(category: str, tmp_path: Path) -> None:
    """Its category alone, unless it is known to be a device's, proves nothing."""
    analysis = analysis_of([*OPS, row(category, "next batch", 20_000, 9)], tmp_path)
    assert analysis.device.kind == "cpu" and analysis.suggestions is not None
    assert "not_recorded" not in {each.reason for each in analysis.op_rows}


def test_mtia_is_a_device_whose_waits_are_not_work(tmp_path: Path) -> None:
    """100 µs of work and 10 µs of copies; a wait of 500 µs lies over both."""
    rows = [
        *OPS[:3],
        row("mtia_ccp_events", "event_wait", 2000, 500, stream=3, wait_on_stream=4),
        row("mtia_ccp_events", "pe_exe", 2100, 60, stream=4),
        row("mtia_ccp_events", "merge", 2160, 40, stream=4),
        row("mtia_ccp_events", "dma_request", 2300, 10, stream=5, size=1024),
        row("mtia_ccp_events", "event_record", 2310, 3, stream=5),
    ]
    for each in rows[3:]:
        each["pid"] = 17
    analysis = analysis_of(rows, tmp_path)
    assert analysis.device.kind == "gpu" and analysis.time.busy_ns == 110_000
    assert {each.name: each.time_ns for each in analysis.op_rows} == {
        "pe_exe": 60_000, "merge": 40_000, "dma_request": 10_000
    }  # fmt: skip
    assert {each.verdict: each.time_ns for each in analysis.verdicts if each.time_ns} == {
        "copy": 10_000, "unmodelled": 100_000
    }  # fmt: skip
    assert len(loaded(str(tmp_path / "trace.json")).syncs.start_ns) == 2


def test_rows_of_another_accelerator_beside_a_gpu_are_told(tmp_path: Path) -> None:
    kernel = row("kernel", "gemm", 3000, 50, correlation=1, device=0, stream=7)
    analysis = analysis_of([*OPS, LAUNCHES[0], kernel, row("hpu_op", "x", 4000, 9)], tmp_path)
    assert analysis.device.kind == "gpu" and analysis.time.busy_ns == 50_000
    assert "device_rows_unread" in {notice.code for notice in analysis.source.warnings}
