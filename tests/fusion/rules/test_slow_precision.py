"""Products in half precision on a CPU that has no units for it, and what shows that fp32 gains nothing."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, op, scene
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Device, Peak

MS = 1_000_000
FLOPS = 2 * 1024**3
AT_SLOW = round(1e9 * FLOPS / 1.3e9)  # ns of one product at 1.3 GFLOP/s: 1.65 s


def cpu(**peaks: float) -> Device:
    known = tuple(Peak("matrix", precision, rate) for precision, rate in peaks.items())
    return Device(
        id="cpu", name="CPU", kind="cpu", how="trace", confidence="exact", bandwidth_bytes_per_s=20e9,
        peaks=(Peak("vector", "fp32", peaks.get("fp32", 155e9)), *known),
    )  # fmt: skip


OLD = cpu(fp32=155e9, bf16=1.3e9, fp16=1.3e9)


def mm(dtype: str = "bf16", ns: int = AT_SLOW) -> Item:
    return op("mm", (1024, 1024), (1024, 1024), dtypes=dtype, ns=ns)


def on(device: Device, *items: Item) -> StepGraph:
    return scene(*items, steps=2, on_cpu=True, device=device)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_the_saving_is_the_time_without_that_at_the_fp32_rate(dtype: str) -> None:
    """1.65 s; at 155 GFLOP/s 13.9 ms, and at worst 5 times that; 12 MB take less in any case."""
    (match,) = found_by(on(OLD, mm(dtype), mm(dtype)), "slow_precision")
    ideal = 1e9 * FLOPS / 155e9
    assert match.saved is not None and match.tier == "T0"
    assert match.saved.low == pytest.approx(2 * (AT_SLOW - 5 * ideal))
    assert match.saved.mid == pytest.approx(2 * (AT_SLOW - ideal / 0.6))
    assert match.saved.high == pytest.approx(2 * (AT_SLOW - ideal / 0.95))
    assert f"1.30 GFLOP/s in {dtype} and at 155 GFLOP/s in fp32" in match.evidence
    assert match.snippet == "" and [node.name for node in match.nodes] == ["mm", "mm"]


def test_the_measured_step_lies_in_the_band() -> None:
    """1,015 ms became 49 ms."""
    found = suggestions(on(OLD, mm(ns=1015 * MS))).found or ()
    (band,) = [each.saving_per_step_ns for each in found if each.rule == "slow_precision"]
    assert band is not None and band.low <= (1015 - 49) * MS <= band.high


def test_casts_of_autocast_go_too() -> None:
    cast = op("copy_", (1024, 1024), (1024, 1024), dtypes=("bf16", "fp32"), ns=5 * MS)
    (match,) = found_by(on(OLD, cast, mm()), "slow_precision")
    (alone,) = found_by(on(OLD, mm()), "slow_precision")
    assert match.saved is not None and alone.saved is not None
    assert match.saved.high == pytest.approx(alone.saved.high + 5 * MS)
    assert match.saved.low == alone.saved.low
    assert "autocast" in match.action and "enabled=False" in match.snippet
    compile(match.snippet, "snippet", "exec")


def test_a_converted_model_that_casts_its_loss_runs_without_autocast() -> None:
    cast = op("copy_", (1024, 1024), (1024, 1024), dtypes=("fp32", "bf16"), ns=5 * MS)
    (match,) = found_by(on(OLD, mm(), cast), "slow_precision")
    assert match.action == match.snippet == "" and len(match.nodes) == 2


def test_what_else_runs_in_the_type_may_take_twice_as_long() -> None:
    other = op("add", (1024, 1024), (1024, 1024), dtypes="bf16", ns=300 * MS)
    (match,) = found_by(on(OLD, mm(), other), "slow_precision")
    (alone,) = found_by(on(OLD, mm()), "slow_precision")
    assert match.saved is not None and alone.saved is not None
    assert match.saved.low == pytest.approx(alone.saved.low - 300 * MS)
    assert match.saved.mid == alone.saved.mid and len(match.nodes) == 1


def test_a_gain_that_is_not_certain_is_none_at_worst() -> None:
    """Twice as slow: at a fifth of the fp32 peak nothing is gained."""
    (match,) = found_by(on(cpu(fp32=155e9, bf16=70e9), mm(ns=round(1e9 * FLOPS / 60e9))), "slow_precision")
    assert match.saved is not None and match.saved.low == 0 < match.saved.mid and match.tier == "T3"


@pytest.mark.left_out
@pytest.mark.parametrize("device", [
    cpu(fp32=155e9, bf16=80e9), cpu(fp32=155e9, bf16=2e12), cpu(fp32=155e9), cpu(bf16=1.3e9),
    cpu(fp32=155e9, fp16=1.3e9),
], ids=["half as fast", "faster", "bf16 not measured", "fp32 not measured", "another type"])  # fmt: skip
def test_a_type_that_is_not_known_to_be_slow_stays(device: Device) -> None:
    assert "slow_precision" not in claims(on(device, mm()))


@pytest.mark.left_out
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
def test_products_in_other_types_stay(dtype: str) -> None:
    assert "slow_precision" not in claims(on(OLD, mm(dtype)))


@pytest.mark.left_out
def test_a_gpu_multiplies_half_precision_faster() -> None:
    assert "slow_precision" not in claims(scene(mm(), steps=2))


@pytest.mark.left_out
def test_a_product_that_hardly_takes_time_is_no_finding() -> None:
    long = op("exp", (4096, 4096), ns=1000 * MS)
    assert "slow_precision" not in claims(on(OLD, mm(ns=MS), long))
