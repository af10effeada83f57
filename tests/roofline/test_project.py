"""Another device's share of the time, by hand."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from tests.report import example
from traceanalyzer.assembly.what_if import projections
from traceanalyzer.assembly.what_if_notices import notices
from traceanalyzer.assembly.what_if_rows import on
from traceanalyzer.device import device_specs, named
from traceanalyzer.device.stand_ins import STAND_INS, runs_as
from traceanalyzer.records import Analysis, Device, OpRow, Projection
from traceanalyzer.records.judged import Thresholds

H100 = named("h100-sxm5")
LIMITED = ("compute_bound", "memory_bound")


def analysis() -> Analysis:
    return msgspec.structs.replace(example.with_suggestions(), device=H100)


def faster(bandwidth: float = 1.0, peaks: float = 1.0) -> Device:
    assert H100.bandwidth_bytes_per_s
    return msgspec.structs.replace(
        H100, name="other", bandwidth_bytes_per_s=H100.bandwidth_bytes_per_s * bandwidth,
        peaks=tuple(msgspec.structs.replace(p, flop_per_s=p.flop_per_s * peaks) for p in H100.peaks),
    )  # fmt: skip


def limited(row: OpRow) -> bool:
    known = row.read_bytes is not None and (not row.flops or H100.peak(row.engine or "", row.precision or ""))
    return row.verdict in LIMITED and bool(known) and bool(row.flops or row.read_bytes or row.write_bytes)


def projected(given: Analysis, others: list[Device]) -> tuple[Projection, ...]:
    return projections(given.op_rows, given.device, given.time, len(given.window.steps), others)


def test_the_same_device_takes_the_same_time() -> None:
    given = analysis()
    (same,) = projected(given, [H100])
    assert same.busy_ns == sum(row.attributed_ns for row in given.op_rows)
    steps = len(given.window.steps)
    assert same.step_ns == round((same.busy_ns + given.time.idle_ns) / steps)


def test_twice_as_fast_is_half_the_time_of_what_roofs_limit() -> None:
    given = analysis()
    (other,) = projected(given, [faster(2, 2)])
    halved = sum(max(row.attributed_ns, row.roof_ns or 0) / 2 for row in given.op_rows if limited(row))
    rest = sum(row.attributed_ns for row in given.op_rows if not limited(row))
    assert halved and other.busy_ns == pytest.approx(halved + rest, abs=1)


def test_endless_arithmetic_leaves_the_memory() -> None:
    given = analysis()
    (other,) = projected(given, [faster(1, 1e9)])
    assert H100.bandwidth_bytes_per_s
    expected = 0.0
    for row in given.op_rows:
        time = float(row.attributed_ns)
        if limited(row) and row.flops and row.read_bytes is not None and row.write_bytes is not None:
            memory = (row.read_bytes + row.write_bytes) / H100.bandwidth_bytes_per_s
            compute = row.flops / (H100.peak(row.engine or "", row.precision or "") or 1)
            time *= memory / max(memory, compute)
            time = max(time, min(memory * 1e9, row.attributed_ns))
        expected += time
    assert other.busy_ns == pytest.approx(expected, abs=1)


def test_nothing_is_projected_onto_a_device_of_unknown_bandwidth() -> None:
    given = analysis()
    unknown = msgspec.structs.replace(H100, bandwidth_bytes_per_s=None)
    assert projected(given, [unknown]) == ()
    (said,) = notices(given.op_rows, H100, [unknown])
    assert said.code == "what_if_withheld" and "bandwidth" in said.message


MI300X, A100, V100 = named("mi300x"), named("a100-sxm4-80gb"), named("v100-sxm2")


def row_of(name: str = "aten::mm", **changes: object) -> OpRow:
    """A compute-bound row of the example, changed."""
    row = next(r for r in analysis().op_rows if r.name == name and r.verdict == "compute_bound")
    return msgspec.structs.replace(row, **changes)  # type: ignore[arg-type]


def alone(row: OpRow, there: Device, here: Device = H100) -> Projection:
    time = msgspec.structs.replace(analysis().time, busy_ns=row.attributed_ns, idle_ns=1000)
    (found,) = projections([row], here, time, 1, [there])
    return found


def test_products_reach_less_of_a_roof_that_is_harder_to_fill() -> None:
    """MI300X has 1.3 times the bf16 peak of an H100, and products reach half as much of it."""
    row = row_of()
    found = alone(row, MI300X)
    by_roofs = row.attributed_ns * 989.4 / 1307.4
    assert 1.3 < found.busy_ns / by_roofs < 2.2


def test_there_and_back_again_is_where_it_was() -> None:
    row = row_of()
    there = alone(row, MI300X)
    faster = msgspec.structs.replace(
        row, attributed_ns=there.busy_ns, efficiency=(row.efficiency or 0) * 989.4 / 1307.4
        * row.attributed_ns / there.busy_ns,
    )  # fmt: skip
    assert alone(faster, H100, MI300X).busy_ns == pytest.approx(row.attributed_ns, rel=0.02)


def test_launches_and_the_host_take_as_long_where_no_roof_is_longer() -> None:
    row = row_of(verdict="latency_bound", limiter="neither", flops=10**6, read_bytes=1000, write_bytes=1000)
    found = alone(row, MI300X)
    assert found.busy_ns == row.attributed_ns
    assert found.step_ns == found.busy_ns + 1000, "idle time is the same"
    assert found.busy_low_ns is not None and found.busy_low_ns < found.busy_ns


def streams(calls: int, call_bytes: int, call_ns: int, **changes: object) -> OpRow:
    """Element-wise additions, none of which takes as long as its roof would make it."""
    moved, time_ns = calls * call_bytes, calls * call_ns
    return row_of(
        operator_class="element_wise", verdict="latency_bound", limiter="neither", calls=calls, kernels=calls,
        engine="vector", precision="fp32", flops=moved // 12, read_bytes=moved * 2 // 3,
        write_bytes=moved - moved * 2 // 3, time_ns=time_ns, attributed_ns=time_ns,
        **{"efficiency": moved / 3.35e12 * 1e9 / time_ns, **changes},
    )  # fmt: skip


def test_a_slower_memory_limits_what_launches_limit_here() -> None:
    """11.76 MB in 5.9 µs on an H100, at 59 % of its memory; a T4 needs 36.75 µs a call for as much."""
    found = alone(streams(200, 11_760_000, 5900), named("t4"))
    assert found.busy_low_ns is not None and found.busy_high_ns is not None
    assert 7_350_000 <= found.busy_low_ns <= found.busy_ns < 1.2 * 7_350_000 < found.busy_high_ns
    assert found.memory_bound_share_of_busy == 1


@pytest.mark.parametrize(("name", "roof_ns"), [("a10", 2_400_000), ("a30", 1_543_000)])
def test_so_does_a_smaller_part_of_the_same_generation(name: str, roof_ns: int) -> None:
    """7.2 MB a call: 600 and 933 GB/s beside the 2,039 of an A100."""
    row = streams(200, 7_200_000, 5900, efficiency=7.2e6 / 2.039e12 * 1e9 / 5900)
    found = alone(row, named(name), A100)
    assert found.busy_low_ns is not None and found.busy_high_ns is not None
    assert roof_ns <= found.busy_low_ns < found.busy_ns < found.busy_high_ns


def test_every_kernel_is_launched() -> None:
    """Ten kernels a call take 20 µs at least on however fast a device; two that take 1.5 µs here, as here."""
    endless = faster(1e6, 1e6)
    row = row_of(calls=10, kernels=100, attributed_ns=1_000_000, time_ns=1_000_000)
    assert alone(row, endless).busy_ns == 200_000
    short = row_of(calls=10, kernels=20, attributed_ns=30_000, time_ns=30_000)
    assert alone(short, endless).busy_ns == 30_000


def test_a_copy_in_memory_goes_by_the_memory_and_one_over_the_link_does_not() -> None:
    size = 1_000_000_000  # 597 µs of an H100's memory to read and write, 6.25 ms of a T4's
    inside = msgspec.structs.replace(
        row_of(), name="Memcpy DtoD (Device -> Device)", verdict="copy", operator_class="copy", flops=0,
        read_bytes=size, write_bytes=size, efficiency=None, attributed_ns=700_000, calls=1, kernels=1,
    )  # fmt: skip
    assert alone(inside, named("t4")).busy_ns > 6_250_000
    link = msgspec.structs.replace(inside, name="Memcpy HtoD (Pinned -> Device)", read_bytes=0,
                                   attributed_ns=20_000_000)  # fmt: skip
    assert alone(link, named("t4")).busy_ns == 20_000_000


def random_row(draw: Random) -> OpRow:
    verdict = draw.choice(["compute_bound", "memory_bound", "latency_bound", "copy", "unmodelled"])
    key = draw.choice(sorted(STAND_INS))
    calls, reads, writes = (
        draw.randint(1, 300),
        int(10 ** draw.uniform(0, 10)),
        int(10 ** draw.uniform(0, 10)),
    )
    return row_of(
        verdict=verdict, calls=calls, kernels=calls * draw.randint(1, 4), engine=key[0], precision=key[1],
        flops=int(10 ** draw.uniform(3, 15)), read_bytes=reads, write_bytes=writes,
        attributed_ns=int(10 ** draw.uniform(3, 9)), efficiency=draw.uniform(1e-4, 1.5),
        operator_class=draw.choice(["tensor_contraction", "statistical_normalization", "element_wise"]),
    )  # fmt: skip


def beats_a_lower_roof(row: OpRow, here: Device, there: Device) -> bool:
    """A row from a cache: it takes less than roofs that are no higher than those there."""
    key = (row.engine or "", row.precision or "")
    peaks = [device.peak(*(runs_as(device, key) or key)) or 0 for device in (here, there)]
    return (here.bandwidth_bytes_per_s or 0) <= (there.bandwidth_bytes_per_s or 0) and peaks[0] <= peaks[1]


# Not those whose fp64 rate is not known (Jetson, Arc): nothing prices such work there.
PARTS = [
    spec.id
    for spec in device_specs()
    if spec.bandwidth_bytes_per_s and runs_as(named(spec.id), ("vector", "fp64"))
]


@pytest.mark.parametrize("name", PARTS)
def test_no_row_is_faster_than_the_roofs_of_the_device(name: str) -> None:
    draw, there = Random(name), named(name)
    assert there.bandwidth_bytes_per_s
    for _ in range(20):
        row, here = random_row(draw), named(draw.choice([part for part in PARTS if part != name]))
        found = on(row, here, there, Thresholds())
        assert found is not None and row.read_bytes is not None and row.write_bytes is not None and row.flops
        as_what = runs_as(there, (row.engine or "", row.precision or ""))
        assert as_what is not None
        memory_ns = (row.read_bytes + row.write_bytes) / there.bandwidth_bytes_per_s * 1e9
        roof_ns = max(memory_ns, row.flops / (there.peak(*as_what) or 1) * 1e9)
        if row.attributed_ns >= roof_ns or not beats_a_lower_roof(row, here, there):
            assert roof_ns <= found.low_ns * (1 + 1e-9)
        assert found.low_ns <= found.time_ns < found.high_ns


def with_unpriced(share: float, **changes: object) -> list[OpRow]:
    """Two rows, of which one has no price and that share of their time."""
    unpriced: dict[str, object] = {
        "verdict": "unmodelled", "bound": None, "roof_ns": None, "efficiency": None, "flops": None,
        "read_bytes": None, "write_bytes": None, "engine": None, "precision": None, "reason": "no_shapes",
    }  # fmt: skip
    priced = row_of()
    time_ns = round(priced.attributed_ns * share / (1 - share))
    return [priced, row_of(**{**unpriced, "attributed_ns": time_ns, **changes})]


def test_what_is_not_priced_is_not_known_there_either() -> None:
    """On 2.3 times the bandwidth element-wise work may take as little as 0.79 / 2.27 of its time here."""
    rows = with_unpriced(0.25, operator_class="element_wise")
    priced, unpriced = (on(row, V100, A100, Thresholds()) for row in rows)
    time = msgspec.structs.replace(analysis().time, busy_ns=sum(r.attributed_ns for r in rows), idle_ns=0)
    (found,) = projections(rows, V100, time, 1, [A100])
    assert priced and unpriced and found.busy_low_ns and found.busy_high_ns
    assert unpriced.time_ns == rows[1].attributed_ns
    assert unpriced.low_ns == pytest.approx(rows[1].attributed_ns * 0.79 * 900 / 2039, rel=0.01)
    assert unpriced.high_ns == pytest.approx(rows[1].attributed_ns * 1.3, rel=0.01)
    assert found.busy_low_ns == round(priced.low_ns + unpriced.low_ns)
    assert "what_if_unpriced" in [notice.code for notice in notices(rows, V100, [A100])]


def test_products_without_a_price_may_be_as_much_slower_as_their_type_is() -> None:
    """bf16 by its inputs: from 989 TFLOP/s of an H100 to the 8.1 in fp32 of a T4."""
    rows = with_unpriced(0.25, input_types=("c10::BFloat16", "c10::BFloat16"))
    found = on(rows[1], H100, named("t4"), Thresholds())
    assert found and found.high_ns == pytest.approx(rows[1].attributed_ns * 1.35 * 989.4 / 8.1, rel=0.01)


def test_where_most_is_not_priced_nothing_is_projected() -> None:
    rows = with_unpriced(0.6)
    time = msgspec.structs.replace(analysis().time, busy_ns=sum(r.attributed_ns for r in rows), idle_ns=0)
    assert projections(rows, V100, time, 1, [A100]) == ()
    (said,) = notices(rows, V100, [A100])
    assert said.code == "what_if_withheld" and "60%" in said.message


def test_links_and_peers_are_the_same_elsewhere_but_not_the_moment() -> None:
    copied = alone(row_of(verdict="communication", flops=None, read_bytes=None, write_bytes=None), A100, V100)
    assert copied.busy_low_ns is not None and copied.busy_high_ns is not None
    assert copied.busy_low_ns < copied.busy_ns < copied.busy_high_ns <= 1.5 * copied.busy_low_ns


KEYS = sorted({(peak.engine, peak.precision) for spec in device_specs() for peak in spec.peaks})


@pytest.mark.parametrize("key", KEYS, ids=" ".join)
def test_whatever_a_part_of_the_table_lacks_runs_as_something_no_faster(key: tuple[str, str]) -> None:
    for name in PARTS:
        device = named(name)
        instead = runs_as(device, key)
        assert instead is not None, (name, key)
        wider = {"fp4": 4, "fp8": 8, "int8": 8, "fp16": 16, "bf16": 16, "tf32": 19, "fp32": 32, "fp64": 64}
        assert wider[instead[1]] >= wider[key[1]], (name, key, instead)


@pytest.mark.parametrize(("precision", "tflops"), [("fp16", 18.7), ("bf16", 9.3)])
def test_products_where_there_is_no_matrix_engine(precision: str, tflops: float) -> None:
    """Ten of 4096^3 are 1.374 TFLOP: 73 ms at the fp16 peak of a P100, and 148 ms in fp32."""
    flops = 10 * 2 * 4096**3
    row = row_of(
        precision=precision, flops=flops, read_bytes=10 * 4 * 4096**2, write_bytes=10 * 2 * 4096**2, calls=10,
        kernels=10, attributed_ns=2_000_000, time_ns=2_000_000, efficiency=flops / 989.4e12 * 1e9 / 2e6,
    )  # fmt: skip
    found = alone(row, named("p100-pcie"))
    assert found.busy_low_ns is not None and found.busy_high_ns is not None
    assert flops / (tflops * 1e12) * 1e9 <= found.busy_low_ns
    assert found.busy_high_ns <= 2 * found.busy_low_ns
    (said,) = notices([row], H100, [named("p100-pcie")])
    assert said.code == "what_if_stand_in" and f"matrix {precision} runs as vector fp32" in said.message


def test_a_device_of_ones_own_without_any_peak_for_the_work() -> None:
    own = Device(id="own", name="own", kind="gpu", how="file", confidence="", bandwidth_bytes_per_s=1e12)
    row = row_of()
    time = msgspec.structs.replace(analysis().time, busy_ns=row.attributed_ns, idle_ns=0)
    assert projections([row], H100, time, 1, [own]) == ()
    (said,) = notices([row], H100, [own])
    assert said.code == "what_if_withheld" and f"no peak of {row.engine} {row.precision}" in said.message


def test_a_type_without_a_peak_runs_as_what_there_is() -> None:
    """bf16 on a V100: no matrix engine takes it, the vector engine computes in fp32."""
    row = row_of()
    found = alone(row, V100)
    assert found.busy_ns > 20 * row.attributed_ns


@pytest.mark.parametrize("other", [MI300X, A100, V100, named("t4"), named("h200-sxm")])
@pytest.mark.parametrize("priced", [False, True])
def test_bands_hold_the_projection_and_are_no_wider_than_two(other: Device, priced: bool) -> None:
    given = analysis()
    if priced:
        rows = tuple(row for row in given.op_rows if row.verdict != "unmodelled")
        given = msgspec.structs.replace(given, op_rows=rows)
    (found,) = projected(given, [other])
    assert found.busy_low_ns is not None and found.busy_high_ns is not None
    assert found.busy_low_ns <= found.busy_ns <= found.busy_high_ns <= 2 * found.busy_low_ns


def test_reductions_are_known_less_well_than_streams() -> None:
    widths = []
    for operator_class in ("element_wise", "tensor_contraction", "statistical_normalization"):
        found = alone(row_of(operator_class=operator_class, efficiency=0.3), MI300X)
        assert found.busy_low_ns and found.busy_high_ns
        widths.append(found.busy_high_ns / found.busy_low_ns)
    assert widths == sorted(widths) and widths[0] < 1.8 < widths[-1] <= 2


@pytest.mark.parametrize("other", [MI300X, A100, V100, named("t4")])
def test_a_quarter_without_a_price_makes_the_band_wider(other: Device) -> None:
    """It is the price of not knowing: without it no wider than two."""
    rows = with_unpriced(0.25, operator_class="element_wise")
    time = msgspec.structs.replace(analysis().time, busy_ns=sum(r.attributed_ns for r in rows), idle_ns=0)
    (found,), priced = projections(rows, H100, time, 1, [other]), alone(rows[0], other)
    assert found.busy_low_ns and found.busy_high_ns and priced.busy_low_ns and priced.busy_high_ns
    assert priced.busy_high_ns <= 2 * priced.busy_low_ns
    assert found.busy_high_ns - found.busy_low_ns > priced.busy_high_ns - priced.busy_low_ns


def test_the_same_device_has_no_band_however_its_name_is_found() -> None:
    (same,) = projected(
        analysis(), [msgspec.structs.replace(H100, how="trace", name="NVIDIA H100 80GB HBM3")]
    )
    assert same.busy_low_ns == same.busy_ns == same.busy_high_ns
