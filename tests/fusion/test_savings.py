"""The time of a replacement on a GPU, against numbers worked by hand and a twin of the formula."""

from __future__ import annotations

import random

import pytest

from traceanalyzer.fusion.savings import NOTHING, Work, saving
from traceanalyzer.records import Device, Peak

# 2 TB/s, 20 TFLOP/s of the vector engine, 200 of the matrix engine: round numbers, to work by hand.
GPU = Device(
    id="round", name="Round", kind="gpu", how="file", confidence="exact", bandwidth_bytes_per_s=2e12,
    peaks=(Peak("vector", "fp32", 20e12), Peak("matrix", "bf16", 200e12)),
)  # fmt: skip
FLOOR_NS, BEFORE_NS = 2000.0, 1e9


def taken(after: Work, floor_ns: float = FLOOR_NS) -> tuple[float, float, float]:
    """At worst, as a rule and at best: what the saving leaves of the time before."""
    band = saving(BEFORE_NS, after, GPU, floor_ns)
    assert band is not None
    return BEFORE_NS - band.low, BEFORE_NS - band.mid, BEFORE_NS - band.high


def test_a_large_kernel_takes_its_floor_and_its_bytes_times_what_whole_times_vary_by() -> None:
    # 198 MB by 0.99 of 2 TB/s: 100 µs; with the floor 102 µs.
    assert taken(Work(198_000_000)) == pytest.approx((1.42 * 102_000, 102_000, 0.95 * 102_000))


def test_a_kernel_that_is_all_launch_varies_as_much() -> None:
    # 3,960 B: 2 ns. A band of the traffic alone would be narrower than a nanosecond.
    assert taken(Work(3_960)) == pytest.approx((1.42 * 2_002, 2_002, 0.95 * 2_002))


def test_each_launch_has_a_floor_that_varies() -> None:
    assert taken(Work(0, launches=3)) == pytest.approx((1.42 * 6_000, 6_000, 0.95 * 6_000))


def test_the_launch_of_a_backward_kernel_varies_as_any_does() -> None:
    assert taken(Work(0, backward=True)) == pytest.approx((2_840, 2_000, 1_900))
    # 100 MB at 2 TB/s: 50 µs, by 0.3, 0.5 and 0.75.
    backward = taken(Work(100_000_000, backward=True))
    assert backward == pytest.approx((2_840 + 166_667, 102_000, 1_900 + 66_667), rel=1e-5)


def test_exponentials_that_outweigh_the_bytes_leave_the_launch_as_it_varies() -> None:
    # 2e9 FLOPs of functions at 20 TFLOP/s: 100 µs, by 1, 2 and 3.3.
    assert taken(Work(4_000, special_flops=2_000_000_000)) == pytest.approx(
        (2_840 + 100_000, 2_000 + 50_000, 1_900 + 100_000 / 3.3)
    )


def test_what_products_reach_allows_for_their_launch() -> None:
    # 2e12 FLOPs at 200 TFLOP/s: 10 ms, large: by 0.51, 0.7 and 0.86.
    product = taken(Work(4_000, matrix=(("bf16", 2_000_000_000_000),)))
    assert product == pytest.approx((2_000 + 1e7 / 0.51, 2_000 + 1e7 / 0.7, 2_000 + 1e7 / 0.86))


def test_no_replacement_takes_no_time() -> None:
    assert taken(NOTHING) == (0.0, 0.0, 0.0)


def test_eight_times_in_ten_lie_inside_at_every_size() -> None:
    """Times that vary as a whole, as measured ones do: a tenth above 1.42, a tenth below 0.95."""
    draw = random.Random(3)
    for size in (1_000, 1_000_000, 1_000_000_000):
        worst, _, best = taken(Work(size), floor_ns=4_300.0)
        truth = [
            (4_300 + size / (0.99 * 2e12) * 1e9) * _varied(draw.random()) for _ in range(2_000)
        ]  # fmt: skip
        assert 0.75 < sum(best <= ns <= worst for ns in truth) / len(truth) < 0.85


def _varied(percentile: float) -> float:
    """A factor whose 10th, 50th and 90th percentile are 0.95, 1 and 1.42."""
    ends = (0.0, 0.7), (0.1, 0.95), (0.5, 1.0), (0.9, 1.42), (1.0, 2.0)
    (left, low), (right, high) = next(
        pair for pair in zip(ends, ends[1:], strict=False) if percentile <= pair[1][0]
    )
    return low + (high - low) * (percentile - left) / (right - left)


def test_without_a_bandwidth_nothing_is_predicted() -> None:
    bare = Device(id="bare", name="Bare", kind="gpu", how="file", confidence="exact",
                  bandwidth_bytes_per_s=None, peaks=GPU.peaks)  # fmt: skip
    assert saving(BEFORE_NS, Work(1_000), bare, FLOOR_NS) is None
