"""Every way to a verdict, with figures that can be worked out in the head."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.device import cpu, find, named, override
from traceanalyzer.records import Device, Peak
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.roofline.verdicts import Roofs, RowFacts, judge_row

# 1 FLOP a ps on the matrix engine, 0.1 on the vector engine, 1 byte a ns: ridges 1000 and 100 FLOP/byte.
DEVICE = Device(
    id="round-numbers",
    name="round",
    kind="gpu",
    how="file",
    confidence="exact",
    bandwidth_bytes_per_s=1e9,
    multiprocessors=100,
    peaks=(Peak("matrix", "bf16", 1e12), Peak("vector", "fp32", 1e11)),
)
ROOFS = Roofs.of(DEVICE, 2_000, Thresholds())

# 1 MB in 1.25 ms: 80 % of bandwidth, one kernel of many blocks.
MEMORY = RowFacts(
    "compute",
    1_250_000,
    flops=250_000,
    read_bytes=500_000,
    write_bytes=500_000,
    median_call_ns=1_250_000,
    blocks=10_000,
    waves=50.0,
    kernels=(("vectorized_elementwise_kernel", 1_250_000),),
)
# 1e10 FLOPs on 1 MB in 12.5 ms: 80 % of the matrix peak.
COMPUTE = msgspec.structs.replace(
    MEMORY,
    time_ns=12_500_000,
    flops=10**10,
    engine="matrix",
    precision="bf16",
    median_call_ns=12_500_000,
    kernels=(("nvjet_hsh_128x256", 12_500_000),),
)


def but(row, **changes):
    return msgspec.structs.replace(row, **changes)


def test_memory_bound():
    found = judge_row(MEMORY, ROOFS)
    assert (found.verdict, found.bound, found.flags, found.reason) == ("memory_bound", "memory", (), None)
    assert found.roof_ns == pytest.approx(1_000_000)
    assert found.efficiency == pytest.approx(0.8)
    assert found.intensity == 0.25
    assert (found.engine, found.precision) == ("vector", "fp32")


def test_compute_bound():
    found = judge_row(COMPUTE, ROOFS)
    assert (found.verdict, found.bound, found.flags) == ("compute_bound", "compute", ())
    assert found.roof_ns == pytest.approx(10_000_000)
    assert (found.engine, found.precision) == ("matrix", "bf16")


@pytest.mark.parametrize(
    ("changes", "limiter"),
    [
        ({}, "memory"),
        ({"time_ns": 1_700_000}, "neither"),  # 59 % of the bandwidth
        ({"time_ns": 1_700_000, "traffic_bytes": 1_100_000}, "memory"),  # 65 % with a proved pass
        ({"time_ns": 1_250_000, "flops": 90_000_000}, "memory"),  # 72 % of the vector peak, 80 % of bandwidth
        ({"time_ns": 1_250_000, "flops": 110_000_000}, "compute"),  # 88 % and 80 %
        ({"time_ns": 0}, None),
        ({"time_ns": None}, None),
        ({"flops": None}, "memory"),  # by bytes alone
        ({"flops": None, "time_ns": 1_700_000}, None),  # not modelled
        ({"read_bytes": None}, None),
        ({"flops": 0, "read_bytes": 0, "write_bytes": 0, "median_call_ns": 1000}, "neither"),  # a view
        ({"work": "communication"}, None),
    ],
)
def test_the_limiter_is_the_roof_that_is_reached(changes, limiter):
    found = judge_row(but(MEMORY, **changes), ROOFS)
    assert found.limiter == limiter
    if limiter == "compute":
        assert found.bound == "compute"


def test_compute_at_its_roof_and_not():
    assert judge_row(COMPUTE, ROOFS).limiter == "compute"
    assert judge_row(but(COMPUTE, time_ns=17_000_000), ROOFS).limiter == "neither"
    halfway = Roofs.of(DEVICE, 2_000, Thresholds(at_roof=0.5))
    assert judge_row(but(COMPUTE, time_ns=17_000_000), halfway).limiter == "compute"


def test_without_a_device_there_is_no_limiter():
    nowhere = msgspec.structs.replace(DEVICE, bandwidth_bytes_per_s=None, peaks=(), how="unknown")
    assert judge_row(MEMORY, Roofs.of(nowhere, 2_000, Thresholds())).limiter is None


@given(
    time=st.integers(1, 10**9), flops=st.integers(0, 10**12), moved=st.integers(0, 10**9),
    more=st.none() | st.integers(0, 10**9),
)  # fmt: skip
def test_no_memory_bound_row_reaches_the_compute_roof_alone(time, flops, moved, more):
    row = but(MEMORY, time_ns=time, flops=flops, read_bytes=moved, write_bytes=0,
              traffic_bytes=None if more is None else moved + more)  # fmt: skip
    found = judge_row(row, ROOFS)
    if found.verdict == "memory_bound":
        assert found.limiter in ("memory", "neither")
        assert found.efficiency < 0.6 or found.limiter == "memory"


def test_the_ridge_itself_is_compute_and_balanced():
    """1000 FLOP/byte x 1 MB = 1e9 FLOPs: 1 ms of either."""
    row = but(COMPUTE, flops=10**9, time_ns=1_000_000, median_call_ns=1_000_000)
    found = judge_row(row, ROOFS)
    assert found.bound == "compute"
    assert "balanced" in found.flags
    assert judge_row(but(row, flops=10**9 - 1), ROOFS).bound == "memory"


@pytest.mark.parametrize(
    ("flops", "balanced"), [(0.89e9, False), (0.91e9, True), (1.1e9, True), (1.2e9, False)]
)
def test_balanced_is_within_a_tenth_of_the_larger(flops, balanced):
    found = judge_row(but(COMPUTE, flops=int(flops), time_ns=1_300_000, median_call_ns=1_300_000), ROOFS)
    assert ("balanced" in found.flags) == balanced


def test_no_flops_is_memory_side_with_any_peak_or_none():
    bare = Roofs.of(with_peaks(()), 2_000, Thresholds())
    for roofs in (ROOFS, bare):
        found = judge_row(but(MEMORY, flops=0), roofs)
        assert (found.verdict, found.bound, found.intensity) == ("memory_bound", "memory", 0.0)


def with_peaks(peaks, **changes):
    return msgspec.structs.replace(DEVICE, peaks=peaks, **changes)


@pytest.mark.parametrize("work", ["communication", "copy"])
def test_communication_and_copies_are_their_own(work):
    found = judge_row(RowFacts(work, 1000, read_bytes=10**6, write_bytes=10**6), ROOFS)
    assert (found.verdict, found.bound, found.efficiency, found.reason) == (work, None, None, None)


# Efficiency 0.1: 1 MB in 10 ms.
SLOW = but(MEMORY, time_ns=10_000_000, median_call_ns=10_000_000)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "memory_bound"),
        ({"median_call_ns": 6_000}, "latency_bound"),  # 3 x floor
        ({"median_call_ns": 6_001}, "memory_bound"),
        ({"blocks": 49}, "latency_bound"),  # of 100 multiprocessors
        ({"blocks": 50}, "memory_bound"),
        ({"blocks": -1}, "memory_bound"),  # not recorded
        ({"waves": 0.9, "median_call_ns": 20_000}, "latency_bound"),  # 10 x floor
        ({"waves": 0.9, "median_call_ns": 20_001}, "memory_bound"),
        ({"waves": 1.0, "median_call_ns": 20_000}, "memory_bound"),
        ({"waves": 0.9, "blocks": 100, "median_call_ns": 150_000}, "memory_bound"),  # persistent: no excuse
    ],
)
def test_latency_bound(changes, verdict):
    found = judge_row(but(SLOW, **changes), ROOFS)
    assert found.verdict == verdict
    assert found.bound == "memory"
    assert ("inefficient" in found.flags) == (verdict != "latency_bound")


def test_an_efficient_row_is_never_latency_bound():
    tiny = but(MEMORY, read_bytes=2_000, write_bytes=2_000, time_ns=5_000, median_call_ns=5_000, blocks=1)
    assert judge_row(tiny, ROOFS).verdict == "memory_bound"


def test_a_compute_side_row_can_be_inefficient():
    found = judge_row(but(COMPUTE, time_ns=10**9, median_call_ns=10**9), ROOFS)
    assert (found.verdict, found.flags) == ("compute_bound", ("inefficient",))


def test_zero_duration_takes_its_bound():
    found = judge_row(but(MEMORY, time_ns=0, median_call_ns=0), ROOFS)
    assert (found.verdict, found.efficiency, found.flags) == ("memory_bound", None, ("zero_duration",))
    assert judge_row(but(COMPUTE, time_ns=0), ROOFS).verdict == "compute_bound"
    nothing = RowFacts("compute", 0, unpriced="no_formula")
    assert (judge_row(nothing, ROOFS).verdict, judge_row(nothing, ROOFS).reason) == (
        "unmodelled",
        "no_formula",
    )


def test_without_a_complete_call_the_bound_stands_and_nothing_was_measured():
    found = judge_row(but(SLOW, time_ns=None, median_call_ns=0), ROOFS)
    assert (found.verdict, found.efficiency, found.flags) == ("memory_bound", None, ())


def test_faster_than_a_roof():
    assert "cache_resident" in judge_row(but(MEMORY, time_ns=900_000), ROOFS).flags
    assert "over_roof" in judge_row(but(COMPUTE, time_ns=9_000_000), ROOFS).flags
    assert judge_row(but(COMPUTE, time_ns=9_000_000), ROOFS).efficiency == pytest.approx(1.111, rel=1e-3)


@pytest.mark.parametrize(
    "reason", ["no_formula", "no_shapes", "data_dependent", "cuda_graph", "formula_failed"]
)
def test_no_cost_is_unmodelled_with_its_reason(reason):
    row = RowFacts("compute", 10_000, unpriced=reason, median_call_ns=10_000)
    found = judge_row(row, ROOFS)
    assert (found.verdict, found.reason, found.bound) == ("unmodelled", reason, None)
    assert (found.roof_ns, found.efficiency, found.intensity) == (None, None, None)


@pytest.mark.parametrize(("time_ns", "verdict"), [(1_666_000, "memory_bound"), (1_667_000, "unmodelled")])
def test_bytes_alone(time_ns, verdict):
    """1 MB takes 1 ms at the roof: 60 % of 1.667 ms."""
    row = but(MEMORY, flops=None, unpriced="data_dependent", time_ns=time_ns)
    found = judge_row(row, ROOFS)
    assert found.verdict == verdict
    if verdict == "memory_bound":
        assert (found.bound, found.flags, found.reason) == ("memory", ("bytes_only",), None)
    else:
        assert (found.bound, found.reason) == (None, "data_dependent")


def test_a_missing_peak_is_no_peak_and_never_another():
    fp8 = judge_row(but(COMPUTE, precision="fp8", flops=10**12), ROOFS)
    assert (fp8.verdict, fp8.reason) == ("unmodelled", "no_peak")
    assert (fp8.engine, fp8.precision, fp8.roof_ns) == ("matrix", "fp8", None)
    assert fp8.intensity == 10**6
    bytes_explain = judge_row(but(COMPUTE, precision="fp8", flops=10**6, time_ns=1_250_000), ROOFS)
    assert bytes_explain.flags == ("bytes_only",)


def test_no_bandwidth_is_no_peak_and_no_device_is_no_device():
    no_bandwidth = with_peaks(DEVICE.peaks, bandwidth_bytes_per_s=None)
    assert judge_row(MEMORY, Roofs.of(no_bandwidth, 2_000, Thresholds())).reason == "no_peak"
    for unknown in (find(None).device, cpu(None, "Some CPU")):
        found = judge_row(MEMORY, Roofs.of(unknown, 2_000, Thresholds()))
        assert (found.verdict, found.reason) == ("unmodelled", "no_device")
        assert found.intensity == 0.25, "intensity needs no device"


def test_three_options_make_an_unknown_device_known_and_two_say_what_bytes_say():
    """Without the vector peak a pointwise op is judged only where its bytes alone explain the time."""
    device = override(find(None).device, ["bf16=989T"], "3.35TB/s")
    roofs = Roofs.of(device, 2_000, Thresholds())
    n = 8192
    product = RowFacts(
        "compute", 1_500_000, 2 * n**3, 4 * n * n, 2 * n * n, "matrix", "bf16", median_call_ns=1_500_000
    )
    add = RowFacts("compute", 200_000, n * n, 4 * n * n, 2 * n * n, median_call_ns=200_000)
    assert judge_row(product, roofs).verdict == "compute_bound"
    found = judge_row(add, roofs)
    assert (found.verdict, found.flags) == ("memory_bound", ("bytes_only",))
    assert judge_row(but(add, time_ns=10**6), roofs).reason == "no_peak"
    full = Roofs.of(override(device, ["fp32=67T"], None), 2_000, Thresholds())
    assert judge_row(but(add, time_ns=10**6), full).flags == ("inefficient",)


@pytest.mark.parametrize(("time_ns", "verdict"), [(5_000, "latency_bound"), (500_000, "unmodelled")])
def test_time_without_work_is_dispatch_or_not_known_but_never_memory_bound(time_ns, verdict):
    row = RowFacts("compute", time_ns, 0, 0, 0, median_call_ns=time_ns)
    found = judge_row(row, ROOFS)
    assert found.verdict == verdict
    assert (found.reason == "no_formula") == (verdict == "unmodelled")


def test_special_functions_explain_a_low_efficiency():
    """bf16 in and out, 12 special functions an element: an H100 issues them at 0.4 of DRAM's rate."""
    roofs = Roofs.of(named("h100-sxm5"), 2_000, Thresholds())
    elements = 10**8
    roof = 4 * elements / 3350e9 * 1e9
    row = RowFacts(
        "compute",
        round(roof * 3),
        20 * elements,
        2 * elements,
        2 * elements,
        special_functions=12 * elements,
        median_call_ns=round(roof * 3),
        blocks=10**6,
    )
    found = judge_row(row, roofs)
    assert found.verdict == "memory_bound"
    assert set(found.flags) == {"inefficient", "special_function_heavy"}
    assert found.roof_ns == pytest.approx(roof), "they never enter the roof"
    assert "special_function_heavy" not in judge_row(but(row, special_functions=elements), roofs).flags
    assert "special_function_heavy" not in judge_row(but(row, time_ns=round(roof * 30)), roofs).flags


@pytest.mark.parametrize(("name", "count"), [("h100-sxm5", 5), ("b200", 3)])
def test_how_many_special_functions_an_element_outweigh_its_traffic(name, count):
    """4 bytes an element: from 5 on an H100, from 3 on a B200."""
    device = named(name)
    roofs = Roofs.of(device, 2_000, Thresholds())
    per_element_s = 4 / device.bandwidth_bytes_per_s
    assert (count - 1) / roofs.special_per_s < per_element_s
    assert count / roofs.special_per_s == pytest.approx(per_element_s, rel=0.25)


def test_borrowed_shapes_are_said():
    assert "borrowed_shapes" in judge_row(but(MEMORY, borrowed_shapes=True), ROOFS).flags


amounts = st.one_of(st.none(), st.integers(0, 10**13))


@given(
    st.sampled_from(["compute", "communication", "copy"]),
    st.one_of(st.none(), st.integers(0, 10**10)),
    amounts,
    amounts,
    amounts,
    st.sampled_from(["matrix", "vector"]),
    st.sampled_from(["fp32", "bf16", "fp16", "fp64", "fp8", "int8"]),
    st.sampled_from(["h100-sxm5", "v100-sxm2", "mi300x", "h100-96gb-generic-name"]),
)
def test_laws(work, time_ns, flops, read, write, engine, precision, device):
    row = RowFacts(work, time_ns, flops, read, write, engine, precision, median_call_ns=time_ns or 0)
    found = judge_row(row, Roofs.of(named(device), 2_000, Thresholds()))
    assert (found.reason is not None) == (found.verdict == "unmodelled")
    assert (found.bound is None) == (found.verdict in ("unmodelled", "communication", "copy"))
    assert len(set(found.flags)) == len(found.flags)
    assert "inefficient" not in found.flags or found.verdict != "latency_bound"
    if found.bound is not None and "bytes_only" not in found.flags:
        assert None not in (flops, read, write, found.roof_ns)
    if found.efficiency is not None:
        assert found.efficiency == pytest.approx(found.roof_ns / time_ns)
