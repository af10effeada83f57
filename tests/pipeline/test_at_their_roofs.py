"""What changes leave of work that runs near its roof: no roof of work that a change takes away bounds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.records import Analysis, Suggestion
from traceanalyzer.report.change_words import change_sentences
from traceanalyzer.report.context import saving_text

BF16 = "c10::BFloat16"
IMAGES = [64, 1024, 512, 8]
STRIDES = [[4194304, 8, 8192, 1], []]


def analyzed(trace: Kineto, folder: Path) -> Analysis:
    return traceanalyzer.analyze(trace.write(folder / "t.json"))


def change(analysis: Analysis, rule: str) -> Suggestion:
    return next(each for each in analysis.suggestions or () if each.rule == rule)


def products_of_weights(trace: Kineto, at: float) -> float:
    """Twenty of eight rows each: 470 MB of weights in 150 µs, 94 % of the bandwidth of an H100."""
    for number in range(20):
        trace.op("aten::mm", at + 10 * number, 8, ([8, 8192], BF16), ([8192, 28672], BF16))
        call = trace.launch(at + 10 * number + 1)
        trace.kernel("nvjet_tst_64x8_64x16_4x1_v_bz_TNT", at + 10 + 150 * number, 150, call)
    return at + 3010


def copies(trace: Kineto, at: float) -> float:
    """Six to another layout, at 95 % of the bandwidth, and nothing else."""
    for number in range(6):
        begins = at + 20 * number
        trace.op("aten::contiguous", begins, 14, (IMAGES, BF16))
        trace.op("aten::clone", begins + 1, 12, (IMAGES, BF16), ([], "Scalar"),
                 **{"Input Strides": STRIDES, "Concrete Inputs": ["", "0"]})  # fmt: skip
        call = trace.launch(begins + 3)
        trace.kernel("void at::native::elementwise_kernel<128, 4>", at + 130 + 340 * number, 340, call)
    return at + 2200


def products_in_fp32(trace: Kineto, at: float) -> float:
    """Three of 1.1 TFLOP each, at 93 % of the vector engine's rate."""
    dur = 1e6 * 2 * 8192**3 / 66.9e12 / 0.93
    for number in range(3):
        trace.op("aten::mm", at + 10 * number, 8, ([8192, 8192], "float"), ([8192, 8192], "float"))
        call = trace.launch(at + 10 * number + 1)
        trace.kernel("ampere_sgemm_128x128_nn", at + 10 + dur * number, dur, call)
    return at + 3 * dur + 20


def of_steps(work: Callable[[Kineto, float], float], waited: float = 0.0) -> Kineto:
    """Three, each after so many µs in which the device waits for data, and the host for none of its work."""
    trace, at = Kineto(), 1000.0
    for number in range(3):
        begins = at
        if waited:
            trace.annotation("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", at + 1, waited)
            at += waited + 2
        ends = work(trace, at)
        if waited:  # the host loads what comes next meanwhile
            loading = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
            trace.annotation(loading, at + 300, ends - at - 310)
        else:
            trace.launch(ends - 8, api="cudaDeviceSynchronize", dur=5)
        trace.annotation(f"ProfilerStep#{number}", begins, ends - begins - 1)
        at = ends
    return trace


@pytest.mark.parametrize(
    ("work", "rule", "left"),
    [
        (products_of_weights, "quantized_weights", 0.5),
        (copies, "layout_copies", 0.0),
        (products_in_fp32, "tf32_products", 66.9 / 494.7),
    ],
)
def test_roofs_are_those_of_the_work_that_is_left(
    work: Callable[[Kineto, float], float], rule: str, left: float, tmp_path: Path
) -> None:
    """`left`: of the work at its roof: half of its bytes, none of it, all of it on another engine."""
    analysis = analyzed(of_steps(work), tmp_path)
    room, most = analysis.headroom, change(analysis, rule).saving_per_step_ns
    assert room is not None and most is not None
    now_at_roofs = sum(row.attributed_ns * (row.efficiency or 1.0) for row in analysis.op_rows) / 3
    assert room.at_roofs_ns == pytest.approx(left * now_at_roofs, abs=0.05 * now_at_roofs)
    assert room.now_ns - room.all_ns.low == pytest.approx(most.high, rel=0.01), "nothing cuts it off"
    assert not any("the roofs allow" in sentence for sentence in change_sentences(analysis))


def test_a_faster_kernel_is_promised_no_step_that_does_not_wait_for_it(tmp_path: Path) -> None:
    """The device waits 60 ms for data, works for 53, and the host waits for none of that."""
    analysis = analyzed(of_steps(products_in_fp32, waited=60_000), tmp_path)
    tf32 = change(analysis, "tf32_products")
    assert tf32.saving_per_step_ns is not None and tf32.busy_saving_ns is not None
    assert tf32.saving_per_step_ns.high < 0.02 * tf32.busy_saving_ns.high
    assert tf32.busy_saving_ns.low > 30e6
    assert saving_text(analysis, tf32).startswith("no time of the step, whose pace the host sets:")
    (sentence,) = change_sentences(analysis)
    assert "with one more, which alone shortens busy time only, up to" in sentence
    alone = analyzed(of_steps(products_in_fp32), tmp_path)
    assert change(alone, "tf32_products").busy_saving_ns is None


def test_hidden_communication_is_no_part_of_the_step_at_its_roofs(tmp_path: Path) -> None:
    """Five products at 80 % of their roof, 7 ms, and 4.2 ms of an all-reduce that nothing hides."""
    dur = 1e6 * 2 * 8192**3 / 989e12 / 0.8

    def work(trace: Kineto, at: float) -> float:
        for number in range(5):
            trace.op("aten::mm", at + 10 * number, 8, ([8192, 8192], BF16), ([8192, 8192], BF16))
            call = trace.launch(at + 10 * number + 1)
            trace.kernel("nvjet_tst_128x256", at + 30 + dur * number, dur, call)
        trace.op("c10d::allreduce_", at + 60, 8, ([8192, 8192], BF16))
        name = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL"
        trace.kernel(name, at + 30 + 5 * dur, 3 * dur, trace.launch(at + 62))
        return at + 8 * dur + 60

    room = analyzed(of_steps(work), tmp_path).headroom
    assert room is not None
    assert room.at_roofs_ns == pytest.approx(5 * 0.8 * dur * 1e3, rel=0.01)
    assert room.not_bounded_ns == 0, "what is left all has a roof"
    assert room.at_roofs_ns <= room.all_ns.low <= room.proved_ns.low <= room.now_ns


@pytest.mark.parametrize(("waits", "promised"), [([60_000, 20, 20, 20], False), ([20_000] * 4, True)])
def test_a_wrapper_that_is_waited_for_once_is_not_waited_for_again(
    waits: list[float], promised: bool, tmp_path: Path
) -> None:
    trace, at, x = Kineto(), 1000.0, ([1024, 1024], "float")
    for number, waited in enumerate(waits):
        begins = at
        for more in (waited, 0):
            trace.op("aten::mul", at, 30, x, x)
            trace.kernel("elementwise", at + 35, 5000, trace.launch(at + 20))
            at += 5040
            if more:
                trace.annotation("Torch-Compiled Region: 0/0", at, more)
                at += more + 1
        trace.annotation(f"ProfilerStep#{number}", begins, at - begins - 1)
    band = change(analyzed(trace, tmp_path), "compiled_launches").saving_per_step_ns
    assert (band is not None) == promised
