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
