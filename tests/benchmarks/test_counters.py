"""The tables of docs/hardware.md, on calls whose bytes and times are made up and so known."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts import each other by bare name

from benchmarks import counters
from traceanalyzer.fusion.savings import FORWARD, Fractions, KernelTimes, Work, saving

NAME = "a100-sxm4-80gb"
BANDWIDTH = 2.039e12
FLOOR_NS = 4_000.0


def relu(elements: int, ns: float) -> counters.Row:
    """fp32, read and written; the counters saw all but 20 MB of what was written."""
    moved = 8 * elements - min(4 * elements, 20_000_000)
    return {
        "device": NAME, "family": "relu", "op": "aten::relu", "dims": [[elements]], "types": ["float"],
        "concrete": [""], "strides": None, "grid": None, "block": None, "dram_bytes": moved,
        "dram_percent": 80, "sm_percent": 20, "limiter": "memory",
        "kernels": [["void at::native::vectorized_elementwise_kernel<4>(relu)", ns]],
    }  # fmt: skip


def made(count: int) -> list[counters.Row]:
    """Times at 0.8 of the bandwidth, off by factors of which a tenth lie above 1.2, as many below 1 / 1.2."""
    draw = random.Random(5)
    rows = []
    for number in range(count):
        elements = 1024 * (number + 1) if number % 4 == 0 else 1024 * draw.randint(100, 200_000)
        factor = 1.2 ** (draw.gauss(0, 1) / 1.2816)  # of a standard normal a tenth lies beyond 1.2816
        rows.append(relu(elements, (FLOOR_NS + 8 * elements / (0.8 * BANDWIDTH) * 1e9) * factor))
    return rows


@pytest.fixture(scope="module")
def pairs() -> list[counters.Pair]:
    return list(counters.pairs_of(made(400), counters.DEVICES[NAME]))


def test_the_fit_finds_what_the_times_were_made_of(pairs: list[counters.Pair]) -> None:
    calls = [
        counters.Timed(round(pair.compulsory), pair.ns, pair.device, FLOOR_NS) for pair in pairs
    ]  # fmt: skip
    fit = counters.fitted(calls)
    assert fit.bandwidth.mid == pytest.approx(0.8, abs=0.04)
    assert fit.launch.low == pytest.approx(1.2, abs=0.05)
    assert fit.launch.high == pytest.approx(1 / 1.2, abs=0.05)


def test_a_band_is_tried_with_the_function_that_savings_are_predicted_with(
    pairs: list[counters.Pair],
) -> None:
    """What the benchmark calls inside is what a saving's band says of the same kernel."""
    for call in counters.timed(pairs):
        band = saving(1e9, Work(call.bytes), call.device, call.floor_ns)
        assert band is not None
        worst, _, best = 1e9 - band.low, 1e9 - band.mid, 1e9 - band.high
        assert call.inside() == (best <= call.ns <= worst)


def test_the_table_says_how_many_lie_inside(pairs: list[counters.Pair]) -> None:
    calls = counters.timed(pairs)
    *_, left_out, shipped = counters.predicted(calls)
    share = float(left_out.split("|")[-2].strip(" %"))
    assert 70 <= share <= 90
    by_hand = sum(
        0.95 * whole <= call.ns <= 1.42 * whole
        for call in calls
        for whole in [call.floor_ns + call.bytes / (0.99 * BANDWIDTH) * 1e9]
    )
    assert shipped.split("|")[-2].strip() == f"{by_hand / len(calls):.0%}"


def test_the_shipped_band_is_that_of_the_whole_time() -> None:
    assert KernelTimes.within(0.99, Fractions(1.42, 1.0, 0.95)) == FORWARD
    none = Fractions(0.0, 0.0, 0.0)
    for floor, moved in ((0.0, 99.0), (50.0, 0.0), (50.0, 99.0)):
        whole = floor + moved / 0.99
        assert tuple(FORWARD.of(floor, moved, none)) == pytest.approx((1.42 * whole, whole, 0.95 * whole))


def test_both_columns_of_bytes_leave_out_what_counters_cannot_see() -> None:
    """log_softmax moves its input twice more; of both figures the same 20 MB are unseen."""
    rows, columns = 2048, 65536
    read = written = 8 * rows * columns
    row = relu(1, 1e7) | {
        "family": "log_softmax", "op": "aten::_log_softmax", "dims": [[rows, columns], [], []],
        "types": ["double", "Scalar", "Scalar"], "concrete": ["", "1", "False"],
        "dram_bytes": 3 * read + written - 20_000_000, "grid": [rows, 1, 1],
        "kernels": [["void at::native::(anonymous namespace)::cunn_SoftMaxForward<double>", 1e7]],
    }  # fmt: skip
    pairs = list(counters.pairs_of([row], counters.DEVICES[NAME]))
    assert pairs[0].op.traffic_bytes == 3 * read + written
    line = list(counters.bytes_table(pairs))[-1]
    compulsory = (read + written - 20_000_000) / (3 * read + written - 20_000_000)
    assert line == f"| log_softmax | 1 | {compulsory:.2f} | 1.00 |"


def test_a_busy_unit_on_the_other_side_is_counted(pairs: list[counters.Pair]) -> None:
    *_, line = counters.agreement(pairs)
    assert line == "A busy unit on the other side: 0 calls, 0.00% of the time."
    turned = [
        counters.Pair(pair.row | {"limiter": "compute", "sm_percent": 90}, pair.op, pair.device)
        for pair in pairs[:1]
    ]
    time = turned[0].ns / sum(pair.ns for pair in pairs)
    *_, line = counters.agreement([*turned, *pairs[1:]])
    assert line == f"A busy unit on the other side: 1 call, {time:.2%} of the time."
