"""What is said of the roofs as a whole: nothing comes near them; fp64 on a device that is slow in it."""

from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.records import Analysis
from traceanalyzer.report.sentence import headline, verdict_sentence

BF16, FP32, FP64 = "c10::BFloat16", "float", "double"
# On an H100: 137 GFLOP take 139 µs at 989 TFLOP/s, 805 MB take 240 µs at 3.35 TB/s.
PRODUCT = (([8192, 1024], BF16), ([1024, 8192], BF16))
LARGE = ([8192, 8192], FP32)
L4 = {
    "name": "NVIDIA L4", "totalGlobalMem": 23_600_000_000, "computeMajor": 8, "computeMinor": 9, "numSms": 58,
}  # fmt: skip


def analyzed(trace: Kineto, folder: Path) -> Analysis:
    return traceanalyzer.analyze(trace.write(folder / "t.json"))


def message(analysis: Analysis, code: str) -> str | None:
    return next((w.message for w in analysis.source.warnings if w.code == code), None)


def products_and_sums(slower: float) -> Kineto:
    """Ten of each, at 1 / `slower` of their roofs; and launches of small kernels, which reach none."""
    trace, at = Kineto(), 1000.0
    for op, kernel, ideal, inputs in (
        ("aten::mm", "nvjet_hsh_128x256", 139, PRODUCT),
        ("aten::add", "vectorized_elementwise_kernel", 240, (LARGE, LARGE)),
        ("aten::add", "vectorized_elementwise_kernel<small>", 0.2, (([8], FP32), ([8], FP32))),
    ):
        for _ in range(10):
            trace.run(op, at, kernel, at + 10, max(ideal * slower, 2), *inputs)
            at += max(ideal * slower, 2) + 20
    return trace


@pytest.mark.parametrize(("slower", "said"), [(1.3, False), (4, False), (15, True), (90, True)])
def test_nothing_near_the_roofs_is_said_before_any_verdict(slower: float, said: bool, tmp_path: Path) -> None:
    found = analyzed(products_and_sums(slower), tmp_path)
    text = message(found, "far_below_roofs")
    assert (text is not None) == said
    sentence = verdict_sentence(found)
    assert ("No roof limits what runs" in sentence) == said
    if text is not None:
        assert f"{100 / slower:.1f} %" in text and "nvidia-smi" in text
        assert "is compute-bound" not in sentence
        assert sentence.index("No roof limits") < sentence.index("memory-bound")


def test_beside_long_waits_too_no_kernel_far_below_its_roof_is_called_bound(tmp_path: Path) -> None:
    """Ten products of 12 ms each, and as long again without work: the first line names the wait alone."""
    trace = Kineto()
    for number in range(10):
        at = 1000.0 + 30_000 * number
        trace.run("aten::mm", at, "nvjet_hsh_128x256", at + 10, 139 * 90, *PRODUCT)
    lead = headline(analyzed(trace, tmp_path)).lead
    assert lead.startswith("The GPU is idle") and "bound" not in lead


def test_small_kernels_alone_say_nothing_of_the_roofs(tmp_path: Path) -> None:
    trace = Kineto()
    for number in range(100):
        at = 1000.0 + 20 * number
        trace.run("aten::add", at, "vectorized_elementwise_kernel", at + 5, 2, ([8], FP32), ([8], FP32))
    assert message(analyzed(trace, tmp_path), "far_below_roofs") is None


def test_tiny_work_in_long_kernels_says_nothing_of_the_roofs(tmp_path: Path) -> None:
    """64 kB in 20 µs: the work itself would take 20 ns, so no roof is what it misses."""
    trace = Kineto()
    for number in range(100):
        at = 1000.0 + 40 * number
        trace.run("aten::sum", at, "reduce_kernel", at + 5, 20, ([128, 128], FP32))
    assert message(analyzed(trace, tmp_path), "far_below_roofs") is None


def on(device: dict[str, object], kind: str) -> Kineto:
    """A product of 2 x 1024³ FLOP (4.4 ms of fp64 on an L4) and an addition of fp32."""
    trace = Kineto()
    assert trace.device is not None
    trace.device.update(device)
    trace.run("aten::mm", 1000, "gemm", 1010, 6000, ([1024, 1024], kind), ([1024, 1024], kind))
    add = "vectorized_elementwise_kernel"
    trace.run("aten::mul", 8000, add, 8010, 1500, ([4096, 4096], FP32), ([4096, 4096], FP32))
    return trace


def test_a_number_beside_a_tensor_is_no_fp64_tensor(tmp_path: Path) -> None:
    """`x * 0.5` records a double of no dimension."""
    trace = on(L4, FP32)
    trace.run("aten::mul", 7000, "vectorized_elementwise_kernel", 7010, 900, ([4096, 4096], FP32), ([], FP64))
    assert message(analyzed(trace, tmp_path), "slow_fp64") is None


@pytest.mark.parametrize(("device", "kind", "said"), [(L4, FP64, True), (L4, FP32, False), ({}, FP64, False)])
def test_fp64_is_named_where_the_device_is_slow_in_it(
    device: dict[str, object], kind: str, said: bool, tmp_path: Path
) -> None:
    text = message(analyzed(on(device, kind), tmp_path), "slow_fp64")
    assert (text is not None) == said
    if text is not None:
        assert text.startswith("80.0 % of busy time") and "1/64" in text and "aten::mm" in text


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        ("aten::copy_", (([4096, 4096], FP64), ([4096, 4096], FP64), ([], "Scalar"))),
        ("aten::add", (([4096, 4096], FP64), ([4096, 4096], FP64), ([], "Scalar"))),
        ("aten::relu", (([4096, 4096], FP64),)),
    ],
)
def test_what_waits_for_bytes_is_not_slow_in_fp64_arithmetic(
    op: str, inputs: tuple[tuple[list[int], str], ...], tmp_path: Path
) -> None:
    """On an L4 a FLOP of fp64 takes as long as 0.6 bytes; each of these has at most one for 16."""
    trace = on(L4, FP32)
    trace.run(op, 10_000, "vectorized_elementwise_kernel", 10_010, 3000, *inputs)
    found = analyzed(trace, tmp_path)
    assert {row.bound for row in found.op_rows if row.name == op} == {"memory"}
    assert message(found, "slow_fp64") is None


def sums_beside_a_product(count: int, sum_us: float, size: int, product_us: float) -> Kineto:
    """On an H100 (132 multiprocessors): `count` sums of `size` fp32, and a product of 2 x 1024³ FLOP."""
    trace, at = Kineto(), 1000.0
    for _ in range(count):
        trace.run(
            "aten::add", at, "vectorized_elementwise_kernel", at + 5, sum_us, ([size], FP32), ([size], FP32)
        )
        at += sum_us + 10
    inputs = (([1024, 1024], FP32), ([1024, 1024], FP32))
    trace.run("aten::mm", at, "sgemm", at + 5, product_us, *inputs)
    return trace


@pytest.mark.parametrize(
    ("count", "sum_us", "size", "product_us", "said"),
    [
        (800, 1.9, 530_000, 1000, False),  # short sums at the memory roof beside a slow product
        (100, 1.9, 530_000, 1000, False),  # 16 % of busy time at the roof
        (20, 1.9, 530_000, 1000, True),  # 4 % of it
        (800, 40, 60_000, 4000, False),  # work of 0.2 us in 40: no roof is what these miss, and they are most
        (800, 40, 60_000, 40_000, True),  # they are not most
    ],
)
def test_nothing_is_far_below_where_a_notable_part_runs_at_a_roof_or_has_little_work(
    count: int, sum_us: float, size: int, product_us: float, said: bool, tmp_path: Path
) -> None:
    found = analyzed(sums_beside_a_product(count, sum_us, size, product_us), tmp_path)
    assert (message(found, "far_below_roofs") is not None) == said
    assert ("No roof limits" in verdict_sentence(found)) == said


@pytest.mark.parametrize(("unknown_us", "what"), [(100, "what runs"), (900, "what could be judged")])
def test_what_could_not_be_judged_may_run_at_a_roof(unknown_us: float, what: str, tmp_path: Path) -> None:
    """A product at 4 % of its roof for 1,000 us beside a kernel of which nothing is known."""
    trace = sums_beside_a_product(0, 0, 0, 1000)
    trace.run("mine::op", 9000, "my_kernel", 9010, unknown_us, ([1024, 1024], FP32))
    assert f"No roof limits {what}: " in verdict_sentence(analyzed(trace, tmp_path))


def test_load_that_the_collector_saw_is_said_beside_roofs_that_nothing_comes_near(tmp_path: Path) -> None:
    trace = products_and_sums(15)
    quiet = message(analyzed(trace, tmp_path), "far_below_roofs")
    trace.metadata["traceanalyze"] = {"profiled_step_ns": 10_000_000, "unprofiled_step_ns": 14_000_000}
    loaded = message(analyzed(trace, tmp_path), "far_below_roofs")
    assert quiet is not None and "sign of other work" not in quiet
    assert loaded is not None and "shorter under the profiler than without it, which is a sign of" in loaded
