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


HEADS, SEQUENCES, LENGTH, HEAD_WIDTH = 16, 4, 2048, 64  # TOKENS = SEQUENCES x LENGTH
FORWARD, BACKWARD = ("_scaled_dot_product_flash_attention" + end for end in ("", "_backward"))


def attention(trace: Gpt, name: str, causal: bool, value_width: int = HEAD_WIDTH, **args: int) -> None:
    """Forward (q, k, v, dropout, causal), or backward with dO before them, O and the log-sum-exp behind."""
    q = ([SEQUENCES, HEADS, LENGTH, HEAD_WIDTH], BF16)
    v = ([SEQUENCES, HEADS, LENGTH, value_width], BF16)
    none, flag = ([], "Scalar"), str(causal)
    if name == FORWARD:
        inputs, concrete = [q, q, v, none, none], ["", "", "", "0.", flag]
    else:
        lse = ([SEQUENCES, HEADS, LENGTH], "float")
        inputs = [v, q, q, v, v, lse, *[none] * 6]
        concrete = [""] * 6 + ["", "", str(LENGTH), str(LENGTH), "0.", flag]
    kernel = "flash_bwd_kernel" if name == BACKWARD else "flash_fwd_kernel"
    trace.run(f"aten::{name}", trace.at, kernel, trace.at + 20, 100, *inputs,
              **{"Concrete Inputs": concrete}, **args)  # fmt: skip
    trace.at += 110


@pytest.mark.parametrize("causal", [False, True])
def test_attention_counts_three_times_its_forward_pass(tmp_path: Path, causal: bool) -> None:
    """PaLM, appendix B: 6 N + 12 L H Q T a token, and half of the second term under a causal mask."""
    trace = Gpt()
    trace.step()
    for name in (FORWARD, BACKWARD):
        for _ in range(LAYERS):
            attention(trace, name, causal)
    found = trace.analyzed(tmp_path)
    seen = (LENGTH + 1) / 2 if causal else LENGTH  # keys of a query, on average
    model = TOKENS * (6 * PARAMETERS + 12 * LAYERS * HEADS * HEAD_WIDTH * seen)
    again = TOKENS * 2 * LAYERS * HEADS * HEAD_WIDTH * seen  # one product of five in the backward pass
    at_peak = 5e-3 * PEAK
    assert found.compute.mfu_share == pytest.approx(model / at_peak, rel=1e-6)
    assert found.compute.hardware_utilisation_share == pytest.approx((model + again) / at_peak, rel=1e-6)
    assert found.compute.flops == model + again
    assert found.compute.recompute_share == pytest.approx(again / (model + again))
    assert found.compute.contraction_flop_per_s == pytest.approx(model / 5e-3)


def test_only_the_product_of_queries_and_keys_is_computed_again(tmp_path: Path) -> None:
    """Values twice as wide: their two products and the gradients' are the model's."""
    trace = Gpt()
    trace.step()
    attention(trace, BACKWARD, False, 2 * HEAD_WIDTH)
    row = next(row for row in trace.analyzed(tmp_path).op_rows if row.name == f"aten::{BACKWARD}")
    pairs = SEQUENCES * HEADS * LENGTH**2
    assert row.flops == 2 * pairs * (3 * HEAD_WIDTH + 2 * 2 * HEAD_WIDTH)
    assert row.recomputed_flops == 2 * pairs * HEAD_WIDTH


def test_checkpointed_attention_is_recomputed_as_a_whole(tmp_path: Path) -> None:
    """Its forward pass runs again under a backward node, and its scores once more in the backward kernel."""
    trace = Gpt()
    trace.step()
    attention(trace, FORWARD, True)
    begin = trace.at
    attention(trace, FORWARD, True, **{"Sequence number": 100, "Fwd thread id": 0})
    attention(trace, BACKWARD, True)
    trace.op("CheckpointFunctionBackward", begin - 2, trace.at - begin + 4, **{"Fwd thread id": 1})
    found = trace.analyzed(tmp_path)
    product = 2 * SEQUENCES * HEADS * HEAD_WIDTH * LENGTH * (LENGTH + 1) // 2
    model = 6 * PARAMETERS * TOKENS + 6 * product
    assert found.compute.mfu_share == pytest.approx(model / (5e-3 * PEAK), rel=1e-6)
    assert found.compute.flops == model + 3 * product


def test_a_trace_of_attention_alone(tmp_path: Path) -> None:
    """Forward and backward of 8 x 16 heads, 4096 long, 128 wide, in 5.6 ms: 3 x forward, not 3.5 x."""
    trace = Kineto()
    q, lse, none = ([8, 16, 4096, 128], BF16), ([8, 16, 4096], "float"), ([], "Scalar")
    forward = {"Concrete Inputs": ["", "", "", "0.", "False"]}
    backward = {"Concrete Inputs": [""] * 8 + ["4096", "4096", "0.", "False"]}
    trace.run(f"aten::{FORWARD}", 1000, "flash_fwd_kernel", 1020, 1600, q, q, q, none, none, **forward)
    trace.run(f"aten::{BACKWARD}", 2000, "flash_bwd_kernel", 2620, 4000, q, q, q, q, q, lse,
              *[none] * 6, **backward)  # fmt: skip
    found = traceanalyzer.analyze(trace.write(tmp_path / "attention.json")).compute
    once = 4 * 8 * 16 * 4096**2 * 128
    assert found.mfu_share == pytest.approx(3 * once / (5.6e-3 * PEAK), rel=1e-6)
    assert found.hardware_utilisation_share == pytest.approx(3.5 * once / (5.6e-3 * PEAK), rel=1e-6)
    assert found.recompute_share == pytest.approx(1 / 7)


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
