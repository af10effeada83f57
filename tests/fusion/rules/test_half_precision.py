"""Products in fp32 on a CPU that multiplies bf16 faster, and what shows that bf16 gains nothing."""

from __future__ import annotations

import pytest

from tests.fusion.rules.test_slow_precision import cpu, on
from tests.fusion.scenes import Item, claims, found_by, handed, op, scene

MS = 1_000_000
NEW = cpu(fp32=200e9, bf16=400e9)
FAST, FASTER = cpu(fp32=800e9, bf16=1600e9), cpu(fp32=2e12, bf16=4e12)
NEW_BYTES = 20e9  # per second, of this CPU


def mm(dtype: str = "fp32", ns: int = 100 * MS, size: int = 1024) -> Item:
    return op("mm", (size, size), (size, size), dtypes=dtype, ns=ns)


def test_the_saving_is_the_time_less_that_at_the_bf16_rate_and_the_casts() -> None:
    """200 ms of products at twice the rate, where 0.65, 0.85 or 1.05 of what they reach in fp32 is kept; four
    operands of 2^20 elements are cast, which read 4 bytes and write 2: 25.2 MB, 1.26 ms at 20 GB/s."""
    (match,) = found_by(on(NEW, mm(), mm()), "half_precision")
    cast = 1e9 * 4 * 2**20 * 6 / NEW_BYTES
    assert match.saved is not None and match.tier == "T0"
    assert match.saved.low == pytest.approx(200 * MS * (1 - 1 / (2 * 0.65)) - cast / 0.35)
    assert match.saved.mid == pytest.approx(200 * MS * (1 - 1 / (2 * 0.85)) - cast / 0.7)
    assert match.saved.high == pytest.approx(200 * MS * (1 - 1 / (2 * 1.05)) - cast)
    assert "at 400 GFLOP/s in bf16 and at 200 GFLOP/s in fp32" in match.evidence
    compile(match.snippet, "snippet", "exec")


def test_other_work_gains_or_loses() -> None:
    """Nobody knows what it reads: half the bytes, or mixed types."""
    other = op("add", (1024, 1024), (1024, 1024), ns=50 * MS)
    (alone,), (match,) = (found_by(on(NEW, *items), "half_precision") for items in ([mm()], [mm(), other]))
    assert alone.saved is not None and match.saved is not None and len(match.nodes) == 1
    assert match.saved.low == pytest.approx(alone.saved.low - 0.15 * 50 * MS)
    assert match.saved.mid == pytest.approx(alone.saved.mid)
    assert match.saved.high == pytest.approx(alone.saved.high + 0.2 * 50 * MS)


@pytest.mark.parametrize(("name", "size", "gained"), [
    ("tanh", 4096, (0.28, 0.41, 0.505)), ("tanh", 3072, (0.35, 0.585, 0.82)),
    ("tanh", 2880, (-0.2, 0.0, 0.3)),
], ids=["in new pages", "in new pages no more", "from the heap"])  # fmt: skip
def test_what_reads_a_result_in_bf16_follows(name: str, size: int, gained: tuple[float, ...]) -> None:
    """glibc maps 32 MiB and more anew: 64 MiB in either type, 36 MiB in fp32 alone, 31.6 MiB in neither. Of
    the time of what is mapped 0.7 is that of pages, of which half is left, or a quarter."""
    other, product = op(name, (size, size), ns=50 * MS), mm(size=size, ns=90 * MS * size**3 // 1024**3)
    alone, after = handed(on(NEW, product)), handed(on(NEW, product, other), (0, 1))
    (less,), (match,) = (found_by(graph, "half_precision") for graph in (alone, after))
    assert less.saved is not None and match.saved is not None
    ends = [
        (getattr(match.saved, end) - getattr(less.saved, end)) / (50 * MS) for end in ("low", "mid", "high")
    ]
    assert ends == pytest.approx(list(gained))


def test_a_grouped_convolution_beside_products_gains_as_little_as_other_work() -> None:
    """And its operands are cast: 8 x 96 x 32 x 32 and 96 x 7 x 7 elements, and the bias."""
    shapes = ((8, 96, 32, 32), (96, 1, 7, 7), (96,), (), (), (), (), (), ())
    concrete = ("", "", "", "[1, 1]", "[3, 3]", "[1, 1]", "False", "[0, 0]", "96")
    depthwise = op("convolution", *shapes, concrete=concrete, ns=100 * MS)
    (alone,), (match,) = (
        found_by(on(NEW, *items), "half_precision") for items in ([mm()], [mm(), depthwise])
    )
    assert alone.saved is not None and match.saved is not None
    cast = 1e9 * (8 * 96 * 32 * 32 + 96 * 49 + 96) * 6 / NEW_BYTES
    assert match.saved.low == pytest.approx(alone.saved.low - 15 * MS - cast / 0.35)
    assert match.saved.mid == pytest.approx(alone.saved.mid - cast / 0.7)
    assert match.saved.high == pytest.approx(alone.saved.high + 20 * MS - cast)


def test_little_to_multiply_beside_much_else_proves_nothing() -> None:
    """A model of bags and sparse rows lost 14 of 128 ms, one of a graph's gathers gained 49 of 230."""
    other = op("add", (1024, 1024), (1024, 1024), ns=600 * MS)
    (match,) = found_by(on(NEW, mm(), other), "half_precision")
    assert match.saved is not None and match.saved.low == 0 and match.tier == "T3"


def test_casts_that_take_what_is_gained_leave_no_certain_saving() -> None:
    """2 ms of products become 1.2 ms as a rule, and 0.63 ms of casts are added by a part of the bandwidth."""
    (match,) = found_by(on(FAST, mm(ns=3 * MS)), "half_precision")
    assert match.saved is not None and match.saved.low == 0 < match.saved.mid and match.tier == "T3"
    assert "half_precision" not in claims(on(FASTER, mm(ns=1 * MS)))


def test_a_step_that_infers_is_told_of_no_loss() -> None:
    (match,) = found_by(on(NEW, mm()), "half_precision")
    assert "backward" not in match.snippet and "loss" not in match.snippet


@pytest.mark.left_out
@pytest.mark.parametrize("device", [
    cpu(fp32=200e9, bf16=250e9), cpu(fp32=200e9, bf16=2e9), cpu(fp32=200e9), cpu(bf16=400e9),
    cpu(fp32=200e9, fp16=800e9),
], ids=["hardly faster", "slower", "bf16 not measured", "fp32 not measured", "another type"])  # fmt: skip
def test_a_type_that_is_not_known_to_be_faster_is_not_suggested(device: object) -> None:
    assert "half_precision" not in claims(on(device, mm()))  # type: ignore[arg-type]


@pytest.mark.left_out
def test_a_gpu_is_told_by_other_rules() -> None:
    assert "half_precision" not in claims(scene(mm(), steps=2))


@pytest.mark.left_out
@pytest.mark.parametrize("dtype", ["fp64", "bf16", "int8"])
def test_products_in_other_types_stay(dtype: str) -> None:
    assert "half_precision" not in claims(on(NEW, mm(dtype)))


@pytest.mark.left_out
def test_what_autocast_leaves_in_fp32_was_left_on_purpose() -> None:
    assert "half_precision" not in claims(on(NEW, mm("bf16"), mm()))


@pytest.mark.left_out
def test_grouped_convolutions_gain_nothing() -> None:
    """Measured on an AMD EPYC with AVX512-BF16: 0.69 ms in fp32 and 0.72 in bf16, 7 x 7, 96 groups."""
    shapes = ((8, 96, 32, 32), (96, 1, 7, 7), (96,), (), (), (), (), (), ())
    concrete = ("", "", "", "[1, 1]", "[3, 3]", "[1, 1]", "False", "[0, 0]", "96")
    depthwise = op("convolution", *shapes, concrete=concrete, ns=100 * MS)
    assert "half_precision" not in claims(on(NEW, depthwise))


@pytest.mark.left_out
def test_a_product_that_hardly_takes_time_is_no_finding() -> None:
    long = op("exp", (4096, 4096), ns=3000 * MS)
    assert "half_precision" not in claims(on(NEW, mm(), long))


@pytest.mark.left_out
def test_a_product_that_its_roof_does_not_limit_gains_nothing_known() -> None:
    """2 GFLOP take 10.7 ms at the peak: in 200 ms something else sets the pace, as a shared machine does."""
    assert "half_precision" in claims(on(NEW, mm(ns=100 * MS)))
    assert "half_precision" not in claims(on(NEW, mm(ns=200 * MS)))


@pytest.mark.left_out
def test_fp32_that_is_multiplied_faster_than_its_peak_is_in_another_type_already() -> None:
    """As `torch.set_float32_matmul_precision("medium")` has it: 1.1 TFLOP take 5.5 s at the peak of fp32."""
    beyond, at_peak = (mm(ns=round(seconds * 1e9), size=8192) for seconds in (3.0, 5.6))
    assert "half_precision" not in claims(on(NEW, beyond))
    assert "half_precision" in claims(on(NEW, at_peak))
