"""MFU against the count that people do by hand: 6 x parameters x tokens FLOPs a training step."""

from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto, Tensor
from traceanalyzer.records import Analysis

LAYERS, WIDTH, TOKENS = 4, 1024, 8192
PARAMETERS = 12 * LAYERS * WIDTH**2  # of the four matrices of a GPT's block; embeddings left out
PEAK = 989.4e12  # H100, bf16, dense
BF16, FP32 = "c10::BFloat16", "float"
GEMM = "nvjet_hsh_128x256_64x4_1x2_h_bz_TNT"


class Gpt(Kineto):
    """A training step's matrix products, one after the other, each 50 µs, its step 5 ms."""

    def __init__(self, kind: str = BF16, kernel: str = GEMM) -> None:
        super().__init__()
        self.kind, self.gemm, self.at = kind, kernel, 1000.0

    def mm(self, m: int, k: int, n: int, **args: int) -> None:
        a, b = (([m, k], self.kind), ([k, n], self.kind))
        self.run("aten::mm", self.at, self.gemm, self.at + 20, 50, a, b, **args)
        self.at += 60

    def linear(self, k: int, n: int) -> None:
        """Forward, and both gradients."""
        self.mm(TOKENS, k, n)
        self.mm(TOKENS, n, k)
        self.mm(n, TOKENS, k)

    def step(self) -> None:
        self.annotation("ProfilerStep#1", self.at, 5000)
        end = self.at + 5000
        for _ in range(LAYERS):
            for k, n in ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)):
                self.linear(k, n)
        assert self.at < end

    def other(self, name: str, kernel: str, us: float, *inputs: Tensor) -> None:
        self.run(name, self.at, kernel, self.at + 20, us, *inputs)
        self.at += us + 10

    def analyzed(self, folder: Path) -> Analysis:
        return traceanalyzer.analyze(self.write(folder / "gpt.json"))


def test_mfu_is_six_times_parameters_times_tokens(tmp_path: Path) -> None:
    trace = Gpt()
    trace.step()
    found = trace.analyzed(tmp_path)
    by_hand = 6 * PARAMETERS * TOKENS / (5e-3 * PEAK)
    assert found.window.window_ns == 5_000_000
    assert found.compute.mfu_share == pytest.approx(by_hand, rel=0.001)
    assert found.compute.hardware_utilisation_share == pytest.approx(by_hand, rel=0.001)
    assert found.compute.peak is not None and found.compute.peak.flop_per_s == PEAK
    assert f"MFU {100 * by_hand:.1f} %: " in found.to_markdown()


def test_other_operators_do_not_count(tmp_path: Path) -> None:
    """A gelu's FLOPs are none of the model's, by the convention."""
    bare, more = Gpt(), Gpt()
    for trace in (bare, more):
        trace.step()
    more.other("aten::gelu", "vectorized_elementwise_kernel<GeluCUDAKernelImpl>", 30, ([8192, 4096], BF16))
    first, second = bare.analyzed(tmp_path), more.analyzed(tmp_path)
    assert second.compute.flops > first.compute.flops
    assert second.compute.mfu_share == first.compute.mfu_share


def test_recomputation_is_left_out_of_mfu_alone(tmp_path: Path) -> None:
    """Forward products below a backward op are done a second time: by 8/6 where all of them are."""
    trace = Gpt()
    trace.step()
    begin = trace.at
    for number in range(LAYERS):
        trace.mm(TOKENS, WIDTH, 3 * WIDTH, **{"Sequence number": 100 + number, "Fwd thread id": 0})
    trace.mm(TOKENS, 3 * WIDTH, WIDTH)  # of the backward pass itself
    trace.op("CheckpointFunctionBackward", begin - 2, trace.at - begin + 4, **{"Fwd thread id": 1})
    found = trace.analyzed(tmp_path)
    again = LAYERS * 2 * TOKENS * 3 * WIDTH**2
    whole = 6 * PARAMETERS * TOKENS + again + again // LAYERS
    assert found.compute.hardware_utilisation_share == pytest.approx(whole / (5e-3 * PEAK), rel=0.001)
    assert found.compute.mfu_share == pytest.approx((whole - again) / (5e-3 * PEAK), rel=0.001)
    assert "without recomputation" in found.to_markdown()


def test_fp32_products_are_held_against_the_engine_they_run_on(tmp_path: Path) -> None:
    trace = Gpt(FP32, "ampere_sgemm_128x128_tn")
    trace.step()
    peak = trace.analyzed(tmp_path).compute.peak
    assert peak is not None and (peak.engine, peak.precision) == ("vector", "fp32")


def test_where_a_tenth_of_the_contractions_is_unknown_it_is_not_given(tmp_path: Path) -> None:
    trace = Gpt()
    trace.step()
    trace.run("aten::mm", trace.at, GEMM, trace.at + 20, 600)  # without shapes
    found = trace.analyzed(tmp_path)
    assert found.compute.mfu_share is None and found.compute.hardware_utilisation_share is None
    assert 0.7 < found.compute.contraction_coverage_share < 0.9
    assert "MFU" not in found.to_markdown()


def test_without_a_peak_it_is_not_given(tmp_path: Path) -> None:
    trace = Gpt()
    trace.step()
    assert trace.device is not None
    trace.device["name"] = "NVIDIA Drawing Board"
    trace.device["totalGlobalMem"] = 7
    found = trace.analyzed(tmp_path)
    assert found.compute.mfu_share is None and found.compute.flops >= 6 * PARAMETERS * TOKENS
