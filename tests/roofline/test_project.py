"""Another device's share of the time, by hand."""

from __future__ import annotations

import msgspec
import pytest

from tests.report import example
from traceanalyzer.assembly.what_if import projections
from traceanalyzer.device import named
from traceanalyzer.records import Analysis, Device, OpRow, Projection

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
    halved = sum(row.attributed_ns for row in given.op_rows if limited(row))
    rest = sum(row.attributed_ns for row in given.op_rows if not limited(row))
    assert halved and other.busy_ns == pytest.approx(halved / 2 + rest, abs=1)


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
        expected += time
    assert other.busy_ns == pytest.approx(expected, abs=1)


def test_a_peak_that_is_not_known_changes_nothing() -> None:
    given = analysis()
    (other,) = projected(given, [msgspec.structs.replace(H100, bandwidth_bytes_per_s=None)])
    assert other.busy_ns == sum(row.attributed_ns for row in given.op_rows)


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


def test_launches_and_the_host_take_as_long_anywhere() -> None:
    row = row_of(verdict="latency_bound", limiter="neither")
    found = alone(row, MI300X)
    assert found.busy_ns == row.attributed_ns
    assert found.step_ns == found.busy_ns + 1000, "idle time is the same"
    assert found.busy_low_ns is not None and found.busy_low_ns < found.busy_ns


def test_what_is_not_priced_is_not_known_there_either() -> None:
    """On 2.3 times the bandwidth it may take as little as 0.72 / 2.27 of its time here."""
    row = row_of(
        verdict="unmodelled", bound=None, roof_ns=None, efficiency=None, flops=None, reason="no_shapes"
    )
    found = alone(row, A100, V100)
    assert found.busy_ns == row.attributed_ns and found.busy_low_ns and found.busy_high_ns
    assert found.busy_low_ns == pytest.approx(row.attributed_ns * 0.72 * 900 / 2039, rel=0.01)
    assert found.busy_high_ns == pytest.approx(row.attributed_ns * 1.42, rel=0.01)
    copied = alone(row_of(verdict="copy"), A100, V100)
    assert copied.busy_low_ns == copied.busy_high_ns


def test_a_type_without_a_peak_runs_as_what_there_is() -> None:
    """bf16 on a V100: no matrix engine takes it, the vector engine computes in fp32."""
    row = row_of()
    found = alone(row, V100)
    assert found.busy_ns > 20 * row.attributed_ns


@pytest.mark.parametrize("other", [MI300X, A100, V100, named("t4"), named("h200-sxm")])
def test_bands_hold_the_projection_and_are_no_wider_than_two(other: Device) -> None:
    given = analysis()
    (found,) = projected(given, [other])
    assert found.busy_low_ns is not None and found.busy_high_ns is not None
    assert found.busy_low_ns <= found.busy_ns <= found.busy_high_ns <= 2 * found.busy_low_ns


def test_the_same_device_has_no_band() -> None:
    (same,) = projected(analysis(), [H100])
    assert same.busy_low_ns == same.busy_ns == same.busy_high_ns
