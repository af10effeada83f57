"""Products in fp32 on a CPU that multiplies bf16 faster, and what shows that bf16 gains nothing."""

from __future__ import annotations

import pytest

from tests.fusion.rules.test_slow_precision import cpu, on
from tests.fusion.scenes import Item, claims, found_by, handed, op, scene
from traceanalyzer.fusion.rules import Match

MS = 1_000_000
NEW = cpu(fp32=200e9, bf16=400e9)
FAST, FASTER = cpu(fp32=800e9, bf16=1600e9), cpu(fp32=2e12, bf16=4e12)
NEW_BYTES = 20e9  # per second, of this CPU


def mm(dtype: str = "fp32", ns: int = 100 * MS, size: int = 1024) -> Item:
    return op("mm", (size, size), (size, size), dtypes=dtype, ns=ns)


def ends(*matches: Match) -> tuple[float, float, float]:
    """At worst, as a rule and at best, of the only match."""
    (match,) = matches
    assert match.saved is not None
    assert match.saved.low <= match.saved.mid <= match.saved.high
    return match.saved.low, match.saved.mid, match.saved.high


def added(items: list[Item], other: Item) -> list[float]:
    """What the operator beside them adds to what is saved, in parts of 50 ms."""
    without, beside = (ends(*found_by(on(NEW, *each), "half_precision")) for each in (items, [*items, other]))
    return [(new - old) / (50 * MS) for old, new in zip(without, beside, strict=True)]


def test_what_keeps_its_share_of_the_peak_saves_half_its_time_but_the_casts() -> None:
    """200 ms at twice the rate are 100; four operands of 2^20 elements are cast, which read 4 bytes and write
    2: 25.2 MB, 1.26 ms at 20 GB/s. A quarter of the peak less or a little more is between the ends."""
    (match,) = found_by(on(NEW, mm(), mm()), "half_precision")
    low, mid, high = ends(match)
    cast = 1e9 * 4 * 2**20 * 6 / NEW_BYTES
    assert low < 200 * MS * (1 - 1 / (2 * 0.75)) - cast < mid < 100 * MS - cast < high < 200 * MS - cast
    assert match.tier == "T0"
    assert "at 400 GFLOP/s in bf16 and at 200 GFLOP/s in fp32" in match.evidence
    compile(match.snippet, "snippet", "exec")


def test_two_products_save_what_each_of_them_saves() -> None:
    one, two = (ends(*found_by(on(NEW, *[mm()] * count), "half_precision")) for count in (1, 2))
    assert two == pytest.approx([2 * end for end in one])


def test_the_faster_bf16_is_the_more_is_saved_and_never_all_of_it() -> None:
    rates = (320e9, 400e9, 800e9, 1e15)
    each = [ends(*found_by(on(cpu(fp32=200e9, bf16=rate), mm()), "half_precision")) for rate in rates]
    for slower, faster in zip(each, each[1:], strict=False):
        assert all(less < more for less, more in zip(slower, faster, strict=True))
    assert each[-1][2] < 100 * MS


def test_other_work_gains_or_loses_less_than_half_of_its_time() -> None:
    """Nobody knows what it reads: half the bytes, or mixed types."""
    low, mid, high = added([mm()], op("add", (1024, 1024), (1024, 1024), ns=50 * MS))
    assert -0.5 < low < mid < high < 0.5 and mid == pytest.approx(0)


def gained(size: int) -> list[float]:
    """Of its time, what a tanh of so many rows and columns gains that reads the result of a product."""
    other, product = op("tanh", (size, size), ns=50 * MS), mm(size=size, ns=90 * MS * size**3 // 1024**3)
    alone, after = handed(on(NEW, product)), handed(on(NEW, product, other), (0, 1))
    less, more = (ends(*found_by(graph, "half_precision")) for graph in (alone, after))
    return [(new - old) / (50 * MS) for old, new in zip(less, more, strict=True)]


def test_what_reads_a_result_in_bf16_follows_and_gains_by_its_pages() -> None:
    """glibc maps 32 MiB and more anew: 64 MiB in either type, 36 MiB in fp32 alone, 31.6 MiB in neither.

    Half the bytes in half the pages are about half of the time; pages that are mapped no more may be all of
    what they took; in caches nothing is certain.
    """
    still, before, heap = gained(4096), gained(3072), gained(2880)
    assert all(least < some < most < 1 for least, some, most in zip(heap, still, before, strict=True))
    assert still[0] > 0 and still[1] < 0.5 and still[2] < 0.55
    assert before[1] > 0.5
    assert heap[0] < 0 < heap[2] < 0.5


def test_a_grouped_convolution_beside_products_gains_as_little_as_other_work() -> None:
    """And its operands are cast, 8 x 96 x 32 x 32 and 96 x 7 x 7 elements and the bias: at best at the
    bandwidth."""
    shapes = ((8, 96, 32, 32), (96, 1, 7, 7), (96,), (), (), (), (), (), ())
    concrete = ("", "", "", "[1, 1]", "[3, 3]", "[1, 1]", "False", "[0, 0]", "96")
    convolved = added([mm()], op("convolution", *shapes, concrete=concrete, ns=100 * MS))
    other = added([mm()], op("add", (1024, 1024), (1024, 1024), ns=100 * MS))
    cast = 1e9 * (8 * 96 * 32 * 32 + 96 * 49 + 96) * 6 / NEW_BYTES / (50 * MS)
    low, mid, high = (gain - without for gain, without in zip(convolved, other, strict=True))
    assert low < mid < high and high == pytest.approx(-cast)
    assert low > -4 * cast, "a quarter of the bandwidth is reached"


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


def attended(tokens: int, *, backward: bool) -> list[float]:
    """Of its time, what fused attention of 2,048 tokens in all adds to what a product saves."""
    name, heads = "_scaled_dot_product_flash_attention_for_cpu", (2048 // tokens, 1, tokens, 32)
    if backward:
        other = op(f"{name}_backward", *[heads] * 5, heads[:3], ns=50 * MS)
    else:
        other = op(name, *[heads] * 3, ns=50 * MS)
    return added([mm(ns=800 * MS, size=2048)] * 3, other)


def test_fused_attention_gains_nothing_and_its_backward_pass_loses_on_short_sequences() -> None:
    """By the times of 30 shapes: at 128 tokens its backward pass takes 1.8 to 4 times as long in bf16."""
    for tokens in (64, 128, 1024):
        low, mid, high = attended(tokens, backward=False)
        assert low < 0 < high < 0.5 and mid == pytest.approx(0, abs=0.1), "but what is cast for it"
    lost = [attended(tokens, backward=True) for tokens in (64, 128, 256, 512, 1024)]
    assert [sum(each) for each in lost] == sorted(sum(each) for each in lost)
    assert all(end < 0 for each in lost[:3] for end in each)
    assert lost[1] == pytest.approx([-3.0, -1.3, -0.8], abs=0.1), "4, 2.3 and 1.8 times as long"
    assert all(0 < end < 0.5 for end in lost[4])


def test_what_attention_loses_may_be_all_that_products_gain() -> None:
    name, heads = "_scaled_dot_product_flash_attention_for_cpu_backward", (16, 4, 128, 32)
    lost = op(name, *[heads] * 5, (16, 4, 128), ns=80 * MS)
    assert found_by(on(NEW, mm()), "half_precision")
    assert not found_by(on(NEW, mm(), lost), "half_precision")
