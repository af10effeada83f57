"""Hand-made traces whose every figure can be worked out on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.pipeline.test_conservation import check
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Analysis, OpRow

HALF = "c10::BFloat16"


def analyze(trace: Kineto, tmp_path: Path, **options: object) -> Analysis:
    analysis = traceanalyzer.analyze(trace.write(tmp_path / "t.json"), **options)  # type: ignore[arg-type]
    check(analysis)
    return analysis


def row(analysis: Analysis, name: str) -> OpRow:
    (found,) = [r for r in analysis.op_rows if r.name == name]
    return found


def test_each_verdict_once(tmp_path: Path) -> None:
    t = Kineto()
    n = 8192
    t.run("aten::mm", 0, "nvjet_hsh_128x256", 100, 1500, ([n, n], HALF), ([n, n], HALF))
    t.run("aten::add", 10, "vectorized_elementwise_kernel", 1600, 200, ([n, n], HALF), ([n, n], HALF))
    t.run("aten::mul", 20, "vectorized_elementwise_kernel", 1800, 2, ([64], "float"), ([64], "float"))
    t.run("my::op", 30, "my_kernel", 1810, 100, ([n], "float"))
    t.kernel("ncclDevKernel_AllReduce_Sum_bf16", 1910, 50, t.launch(40))
    t.kernel("Memcpy DtoD (Device -> Device)", 1960, 10, t.launch(50), cat="gpu_memcpy", bytes=1 << 20)
    a = analyze(t, tmp_path)
    mm = row(a, "aten::mm")
    assert (mm.flops, mm.read_bytes, mm.write_bytes) == (2 * n**3, 4 * n * n, 2 * n * n)
    assert (mm.verdict, mm.engine, mm.precision) == ("compute_bound", "matrix", "bf16")
    assert mm.efficiency == pytest.approx(2 * n**3 / 989.4e12 / 1500e-6, rel=1e-3)
    add = row(a, "aten::add")
    assert (add.verdict, add.bound, add.flops) == ("memory_bound", "memory", n * n)
    assert add.read_bytes == 4 * n * n and add.write_bytes == 2 * n * n
    assert add.roof_ns == pytest.approx(6 * n * n / 3350e9 * 1e9)
    assert row(a, "aten::mul").verdict == "latency_bound"
    assert (row(a, "my::op").verdict, row(a, "my::op").reason) == ("unmodelled", "no_formula")
    assert row(a, "ncclDevKernel_AllReduce_Sum_bf16").verdict == "communication"
    assert row(a, "Memcpy DtoD (Device -> Device)").verdict == "copy"
    assert a.time.busy_ns == 1_862_000
    assert a.window.window_ns == 1_870_000
    assert a.window.step_count is None


def test_overlapping_streams_share_each_instant(tmp_path: Path) -> None:
    t = Kineto()
    t.run("aten::add", 0, "a_kernel", 100, 100, ([1 << 20], "float"), ([1 << 20], "float"))
    t.op("aten::mul", 10, 5, ([1 << 20], "float"), ([1 << 20], "float"))
    t.kernel("b_kernel", 150, 100, t.launch(11), stream=8)
    t.kernel("ncclDevKernel_AllReduce", 180, 120, t.launch(20), stream=9)
    a = analyze(t, tmp_path)
    assert row(a, "aten::add").attributed_ns == 75_000
    assert row(a, "aten::mul").attributed_ns == 75_000
    assert row(a, "ncclDevKernel_AllReduce").attributed_ns == 50_000
    assert a.time.hidden_communication_ns == 70_000
    assert a.time.kernel_sum_ns == 320_000


def test_composites_are_not_priced_beside_their_children(tmp_path: Path) -> None:
    t = Kineto()
    x, w, b = ([512, 1024], HALF), ([4096, 1024], HALF), ([4096], HALF)
    t.op("aten::linear", 0, 50, x, w, b)
    t.op("aten::addmm", 10, 30, b, x, ([1024, 4096], HALF))
    t.kernel("nvjet_tst", 100, 20, t.launch(15))
    a = analyze(t, tmp_path)
    assert [r.name for r in a.op_rows] == ["aten::addmm"]
    assert a.compute.flops == 2 * 512 * 1024 * 4096


def test_helper_kernels_share_their_ops_cost(tmp_path: Path) -> None:
    t = Kineto()
    a_, b_ = ([256, 8192], HALF), ([8192, 256], HALF)
    t.op("aten::mm", 0, 50, a_, b_)
    t.kernel("gemm_splitK", 100, 20, t.launch(15))
    t.kernel("splitKreduce_kernel", 120, 5, t.launch(20))
    one = row(analyze(t, tmp_path), "aten::mm")
    assert (one.calls, one.kernels, one.flops) == (1, 2, 2 * 256 * 8192 * 256)
    assert one.time_ns == 25_000


def test_layout_copies_keep_their_own_row_and_do_not_unprice_the_op(tmp_path: Path) -> None:
    t = Kineto()
    q = ([2, 16, 4096, 64], HALF)
    t.op("aten::bmm", 0, 50, ([32, 4096, 64], HALF), ([32, 64, 4096], HALF))
    t.op("aten::copy_", 5, 5, q, q)
    t.kernel("copy_kernel", 100, 5, t.launch(6))
    t.kernel("nvjet", 110, 80, t.launch(20))
    a = analyze(t, tmp_path)
    assert {r.name for r in a.op_rows} == {"aten::bmm", "aten::copy_"}
    assert row(a, "aten::bmm").flops == 2 * 32 * 4096 * 4096 * 64


def test_graph_kernels_get_a_row_a_name_and_a_reason(tmp_path: Path) -> None:
    t = Kineto()
    t.op("my::replay", 0, 50)
    graph = t.launch(5, api="cudaGraphLaunch")
    for i in range(4):
        t.kernel("nvjet_a" if i % 2 else "rms_norm_kernel", 100 + 10 * i, 10, graph)
    a = analyze(t, tmp_path)
    assert {(r.name, r.reason, r.kernels) for r in a.op_rows} == {
        ("nvjet_a", "cuda_graph", 2), ("rms_norm_kernel", "cuda_graph", 2),
    }  # fmt: skip
    assert a.coverage.linked_share == 0


def test_an_unknown_device_gets_times_classes_intensities_but_no_verdict(tmp_path: Path) -> None:
    t = Kineto()
    t.device = {"id": 0, "name": "Imaginary X1", "totalGlobalMem": 1 << 40, "numSms": 7, "warpSize": 32}
    t.run("aten::mm", 0, "gemm", 100, 1500, ([64, 64], HALF), ([64, 64], HALF))
    a = analyze(t, tmp_path)
    mm = row(a, "aten::mm")
    assert (a.device.how, mm.verdict, mm.reason) == ("unknown", "unmodelled", "no_device")
    assert mm.intensity == pytest.approx(2 * 64**3 / (3 * 64 * 64 * 2))
    assert mm.operator_class == "tensor_contraction"
    options = AnalyzeOptions(bandwidth="3.35TB/s", peaks=("bf16=989T",))
    told = row(traceanalyzer.analyze(tmp_path / "t.json", options=options), "aten::mm")
    assert told.bound == "memory" and told.verdict != "unmodelled", "intensity 21, below the ridge of 295"


def test_steps_select_the_window_and_name_what_is_outside(tmp_path: Path) -> None:
    t = Kineto()
    for i in range(3):
        t.annotation(f"ProfilerStep#{i}", 1000 * i, 1000)
        start, operand = 1000 * i, ([1 << 20], "float")
        t.run("aten::add", start + 10, "k", start + 500, 100, operand, operand)
    t.annotation("ProfilerStep#3", 3000, 20)
    a = analyze(t, tmp_path)
    assert a.window.step_count == 3
    assert a.window.steps == ("ProfilerStep#0", "ProfilerStep#1", "ProfilerStep#2")
    assert a.window.window_ns == 3_000_000
    one = analyze(t, tmp_path, steps="1")
    assert (one.window.step_count, one.time.busy_ns, one.time.outside_window_ns) == (1, 100_000, 200_000)


def test_permuting_events_changes_nothing(tmp_path: Path) -> None:
    t = Kineto()
    for i in range(10):
        t.run("aten::add", 10 * i, f"k{i % 3}", 500 + 7 * i, 10, ([1 << 18], "float"), ([1 << 18], "float"))
    first = analyze(t, tmp_path)
    t.events.reverse()
    assert analyze(t, tmp_path) == first
