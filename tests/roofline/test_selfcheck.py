"""Why a row can appear to beat its roof, from figures worked out by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from traceanalyzer.assembly.self_check import explained, formulas, self_check
from traceanalyzer.cost import formula_of
from traceanalyzer.records import Device, Flag, FormulaText, NamedTime, OpRow, Peak

MIB = 1 << 20
DEVICE = Device(id="d", name="D", kind="gpu", how="flag", confidence="", bandwidth_bytes_per_s=1e12,
                l2_bytes=50 * MIB)  # fmt: skip


def row(
    name: str = "aten::add", *, moved: int = 0, efficiency: float = 1.5, flag: Flag = "cache_resident",
    calls: int = 1, time_ns: int = 1_000_000, kernel: str = "k",
) -> OpRow:  # fmt: skip
    return OpRow(
        name=name, input_dims=((1,),), input_types=("float",), input_strides=None, concrete_inputs=None,
        phase=None, module=None, calls=calls, kernels=calls, time_ns=time_ns, attributed_ns=time_ns,
        flops=1, read_bytes=moved * calls, write_bytes=0, intensity=None, engine="vector", precision="fp32",
        roof_ns=time_ns * efficiency, efficiency=efficiency, bound="memory", verdict="memory_bound",
        operator_class="element_wise", flags=(flag,), reason=None,
        kernel_names=(NamedTime(kernel, time_ns),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (row(moved=40 * MIB, efficiency=9.0), "fits in the cache of 52.4 MB"),
        (row(moved=80 * MIB, calls=7), "part of it was in the cache"),
        # 400 MiB with a cache of 50 filled before and again at the end: 300 must pass, a factor of 4/3.
        (row(moved=400 * MIB, efficiency=1.33), "part of it was in the cache"),
        (row(moved=400 * MIB, efficiency=1.34), "not explained"),
        (row("aten::embedding", moved=400 * MIB), "read repeatedly"),
        (row("triton_poi_fused_add_0", moved=400 * MIB), "only parts of its arguments"),
        (row(moved=4000 * MIB, efficiency=1.05), "up to 5 %"),
        (row(flag="over_roof", efficiency=2.0, kernel="winograd_fwd"), "fewer multiplications"),
        (row(flag="over_roof", efficiency=2.0), "not explained"),
        (row(flag="over_roof", efficiency=1.02), "up to 5 %"),
    ],
)
def test_each_row_above_a_roof_has_a_reason(of: OpRow, words: str) -> None:
    (told,) = explained([of], DEVICE, whole_microseconds=False)
    assert told.note.startswith("above the roof: ") and words in told.note
    (line,) = self_check([of], DEVICE, 10_000_000, whole_microseconds=False)
    assert words in line.reason
    assert (line.rows, line.time_ns, line.share_of_busy) == (1, 1_000_000, 0.1)
    assert (line.highest_efficiency, line.example) == (of.efficiency, of.name)


def test_a_row_faster_than_a_cpu_draws_is_not_said_to_exceed_a_peak() -> None:
    """1,500 FLOPs at 1 a microsecond are the 1.5 ms of the roof; without any it is the measured rate's."""
    cpu = replace(DEVICE, kind="cpu", peaks=(Peak("vector", "fp32", 1e6),))
    drawn = replace(row(flag="over_roof"), flops=0, bound="compute", verdict="compute_bound")
    computed = replace(drawn, flops=1_500)
    (told,) = self_check([drawn], cpu, 10_000_000, whole_microseconds=False)
    (other,) = self_check([computed], cpu, 10_000_000, whole_microseconds=False)
    assert "random numbers" in told.reason and "the rate that was measured" in told.reason
    assert "busy" not in told.reason, "which is not known: it may have had more threads than the measurement"
    assert "not explained" in other.reason


def test_a_roof_that_was_measured_is_compared_with_no_datasheet() -> None:
    near = row(flag="over_roof", efficiency=1.02)
    measured = replace(DEVICE, kind="cpu", how="calibrated", peaks=(Peak("vector", "fp32", 1e-9),))
    (told,) = self_check([near], measured, 10_000_000, whole_microseconds=False)
    (known,) = self_check([near], DEVICE, 10_000_000, whole_microseconds=False)
    assert "measurements" in told.reason and "datasheet" not in told.reason
    assert "datasheet" in known.reason


def test_a_coarse_clock_explains_short_kernels_only() -> None:
    short, long = row(moved=900 * MIB, time_ns=20_000), row(moved=900 * MIB, time_ns=21_000)
    (told, left) = explained([short, long], DEVICE, whole_microseconds=True)
    assert "whole microseconds" in told.note and "not explained" in left.note


def test_rows_below_their_roofs_are_left_alone() -> None:
    below = row(flag="inefficient", efficiency=0.3)
    assert explained([below], DEVICE, whole_microseconds=False) == [below]
    assert self_check([below], DEVICE, 1, whole_microseconds=False) == ()


def test_a_cache_of_unknown_size_is_said_to_be_unknown() -> None:
    unknown = Device(id="d", name="D", kind="cpu", how="file", confidence="", bandwidth_bytes_per_s=1e10)
    (told,) = explained([row(moved=MIB)], unknown, whole_microseconds=False)
    assert "is unknown" in told.note


def test_rows_of_one_roof_and_reason_are_added_up_longest_first() -> None:
    rows = [row(moved=MIB), row("aten::mul", moved=MIB, efficiency=3.0),
            row("aten::mm", flag="over_roof", efficiency=1.04, time_ns=5_000_000)]  # fmt: skip
    first, second = self_check(rows, DEVICE, 10_000_000, whole_microseconds=False)
    assert (first.roof, first.rows, first.time_ns) == ("compute", 1, 5_000_000)
    assert (second.roof, second.rows, second.time_ns) == ("bandwidth", 2, 2_000_000)
    assert second.example == "aten::mul"


def text_of(name: str) -> FormulaText | None:
    formula = formula_of(name)
    return FormulaText(name, formula.doc, formula.source) if formula else None


def test_the_formulas_of_the_ten_largest_priced_rows() -> None:
    rows = [row("aten::mm"), row("aten::mm"), *[row("aten::add")] * 8, row("aten::relu")]
    found = formulas(rows, text_of)
    assert [one.op for one in found] == ["aten::mm", "aten::add"]
    assert "2*b*m*n*k" in found[0].text and found[0].source
