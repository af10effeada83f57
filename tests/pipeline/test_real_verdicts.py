"""What must come out on real traces: verdicts that anyone who looks at them would give, and coverage."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.files import loaded
from tests.pipeline import real
from traceanalyzer.cost import price_call
from traceanalyzer.cost.formulas.attention import BACKWARD, FORWARD
from traceanalyzer.cost.formulas.foreign import DATA_DEPENDENT, DATA_DEPENDENT_OPERATORS
from traceanalyzer.records import Analysis, Unpriced

COVERED = 0.98
BY_HAND = "what a hand-written Triton kernel computes is not recorded"
# Attention over sequences that are packed, or lie in a paged cache: their lengths are data.
PACKED = {name: "lengths are data" for name in (*FORWARD, *BACKWARD, "vllm::unified_attention*", "aiter::*",
                                                "triton_tem_*flex*")}  # fmt: skip
BAGS = {"fbgemm::permute_*": "which features come out is data"}


def analyze(folder: Path, name: str) -> Analysis:
    (file,) = folder.rglob(f"{name}.json.gz")
    return real.analyzed(file)


def verdict(analysis: Analysis, name: str) -> float:
    return next(p.share_of_busy for p in analysis.verdicts if p.verdict == name)


def test_tiny_kernels_are_not_called_memory_bound(real_traces: Path) -> None:
    a = analyze(real_traces, "infer_bert_small_h100")
    assert a.time.idle_ns / a.window.window_ns > 0.9, "mostly idle"
    assert verdict(a, "latency_bound") > 0.75, "then latency-bound"
    assert a.memory_bound.share_of_busy < 0.25


def test_long_rows_of_softmax_are_memory_bound_and_inefficient(real_traces: Path) -> None:
    a = analyze(real_traces, "infer_owlv2_h100")
    softmax = max((r for r in a.op_rows if r.name == "aten::_softmax"), key=lambda r: r.attributed_ns)
    assert softmax.verdict == "memory_bound" and "inefficient" in softmax.flags
    assert softmax.attributed_ns / a.time.busy_ns == pytest.approx(0.46, abs=0.02)
    assert softmax.efficiency == pytest.approx(0.23, abs=0.02)


def test_fp32_products_are_held_against_the_vector_roof(real_traces: Path) -> None:
    a = analyze(real_traces, "infer_sam_a100_large")
    products = [
        r for r in a.op_rows
        if r.name in ("aten::addmm", "aten::mm") and "ampere_sgemm" in r.kernel_names[0].name
        and r.time_ns / r.calls > 1e6
    ]  # fmt: skip
    assert products
    for row in products:
        assert (row.verdict, row.engine, row.precision) == ("compute_bound", "vector", "fp32"), row
    assert max(row.efficiency or 0 for row in products) == pytest.approx(0.95, abs=0.02)


def everything(folder: Path) -> list[tuple[str, Analysis]]:
    """Every trace, with roofs where its device is not known."""
    return [(file.name, real.with_roofs(file)) for file in real.files(folder)]


def test_what_has_shapes_is_modelled(real_traces: Path) -> None:
    """Whoever's operators they are; those apart whose work is data, and kernels that a model's author wrote.

    A node of autograd has the dims of its gradients, and nothing says what it does with them.
    """
    for name, a in everything(real_traces):
        ours = [
            r for r in a.op_rows
            if r.verdict not in ("communication", "copy") and r.input_dims and any(r.input_dims)
            and r.reason != "data_dependent" and r.note != BY_HAND
            and not r.name.startswith("torch::autograd::")
        ]  # fmt: skip
        total = sum(r.time_ns for r in ours)
        modelled = sum(r.time_ns for r in ours if r.verdict != "unmodelled")
        missing = {r.name: r.reason for r in ours if r.verdict == "unmodelled"}
        assert modelled >= COVERED * total, (name, modelled / total, missing)


def test_what_data_decides_stands_on_the_list(real_traces: Path) -> None:
    listed = {**DATA_DEPENDENT, **DATA_DEPENDENT_OPERATORS, **PACKED, **BAGS}
    for name, a in everything(real_traces):
        for row in a.op_rows:
            if row.reason == "data_dependent":
                assert any(fnmatchcase(row.name, pattern) for pattern in listed), (name, row.name, row.note)


def test_no_formula_fails_on_what_was_really_called(real_traces: Path) -> None:
    """Of every distinct call in every trace, whether its time counts or not."""
    distinct = 0
    for path in real.files(real_traces):
        for call in set(loaded(str(path)).calls):
            cost = price_call(call)
            failed = isinstance(cost, Unpriced) and cost.reason == "formula_failed"
            assert not failed, (path.name, call, cost)
            distinct += 1
    assert distinct > 10_000


def test_no_generated_kernel_beats_the_memory_unexplained(real_traces: Path) -> None:
    """Of those that last: a clock or a launch may explain a short one."""
    for name, a in everything(real_traces):
        bandwidth = a.device.bandwidth_bytes_per_s
        for row in a.op_rows:
            lasts = row.time_ns > 20_000 * row.kernels
            if row.name.startswith("triton_") and row.flops is not None and lasts:
                rate = ((row.read_bytes or 0) + (row.write_bytes or 0)) / row.time_ns * 1e9
                if bandwidth and rate > 1.2 * bandwidth:
                    assert "cache_resident" in row.flags and "above the roof: " in row.note, (name, row)


def test_no_long_kernel_beats_its_compute_roof(real_traces: Path) -> None:
    for name, a in everything(real_traces):
        for row in a.op_rows:
            if row.verdict == "unmodelled" or not row.flops or row.time_ns < 20_000 * row.kernels:
                continue
            peak = a.device.peak(row.engine or "", row.precision or "")
            transformed = any(
                word in kernel.name.lower() for kernel in row.kernel_names for word in ("winograd", "fft")
            )
            if peak and not transformed:
                assert row.flops <= 1.02 * peak * row.time_ns * 1e-9, (name, row)


def test_apparent_bandwidth_above_the_peak_is_flagged(real_traces: Path) -> None:
    for name, a in everything(real_traces):
        bandwidth = a.device.bandwidth_bytes_per_s
        for row in a.op_rows:
            if row.efficiency is None or row.efficiency <= 1 or bandwidth is None:
                continue
            assert {"cache_resident", "over_roof"} & set(row.flags), (name, row)
