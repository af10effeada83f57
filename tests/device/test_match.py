"""What real deviceProperties resolve to; what cannot be told stays unknown and says what to give."""

import msgspec
import pytest

from traceanalyzer.device import device_specs, find
from traceanalyzer.records import GpuClocks
from traceanalyzer.records.trace import DeviceProperties

GIB = 2**30


def properties(name, memory=None, count=None, capability=None, warp=32):
    return DeviceProperties(0, name, memory, count, capability, warp)


# As public traces record them: name, totalGlobalMem, numSms, compute capability, warpSize -> id, how.
RECORDED = [
    ("NVIDIA H100 80GB HBM3", 85018279936, 132, "9.0", 32, "h100-sxm5", "trace"),
    ("NVIDIA H100 80GB HBM3", 84929347584, 132, "9.0", 32, "h100-sxm5", "trace"),
    ("NVIDIA H100 80GB HBM3", 85045477376, 132, "9.0", 32, "h100-sxm5", "trace"),
    ("NVIDIA B200", 191503138816, 148, "10.0", 32, "b200", "trace"),
    ("NVIDIA B200", 191503007744, 148, "10.0", 32, "b200", "trace"),
    ("NVIDIA A100-SXM4-80GB", 85174583296, 108, "8.0", 32, "a100-sxm4-80gb", "trace"),
    ("NVIDIA PG509-210", 84990623744, 108, "8.0", 32, "a100-sxm4-80gb", "inferred"),
    ("NVIDIA A100-PG509-200", 42505273344, 108, "8.0", 32, "a100-sxm4-40gb", "inferred"),
    ("NVIDIA A100-PG509-200", 42297524224, 108, "8.0", 32, "a100-sxm4-40gb", "inferred"),
    ("NVIDIA A100-PCIE-40GB", 42346610688, 108, "8.0", 32, "a100-pcie-40gb", "trace"),
    ("Tesla V100-SXM2-16GB", 16945512448, 80, "7.0", 32, "v100-sxm2", "trace"),
    ("Tesla V100-SXM2-32GB", 34079637504, 80, "7.0", 32, "v100-sxm2", "trace"),
    ("Tesla V100-DGXS-32GB", 34084028416, 80, "7.0", 32, "v100-sxm2", "trace"),
    ("Quadro GP100", 17069309952, 56, "6.0", 32, "quadro-gp100", "trace"),
    ("AMD Instinct MI300X", 206141652992, 304, "9.4", 64, "mi300x", "trace"),
    ("AMD Instinct MI300X VF", 206141652992, 304, "9.4", 64, "mi300x", "trace"),
    ("", 206141652992, 304, "9.4", 64, "mi300x", "inferred"),
    ("AMD Instinct MI210", 68702699520, 104, "9.0", 64, "mi210", "trace"),
    ("AMD Radeon Graphics", 68702699520, 104, "9.0", 64, "mi210", "inferred"),
    ("NVIDIA A10G", 23827054592, 80, "8.6", 32, "a10g", "trace"),
    ("Tesla T4", 15835398144, 40, "7.5", 32, "t4", "trace"),
    ("NVIDIA H100", 102085492736, 132, "9.0", 32, "h100-96gb-generic-name", "trace"),
    ("NVIDIA GeForce RTX 3090", 25327697920, 82, "8.6", 32, "rtx-3090", "trace"),
    ("NVIDIA GeForce GTX 1650", 4294705152, 16, "7.5", 32, "gtx-1650-laptop", "trace"),
    ("NVIDIA GeForce RTX 3080 Laptop GPU", 8191 * 2**20, 48, "8.6", 32, "rtx-3080-laptop", "trace"),
    ("NVIDIA GeForce RTX 5060 Ti", 15848 * 2**20, 36, "12.0", 32, "rtx-5060-ti", "trace"),
    ("Orin", 30622 * 2**20, 14, "8.7", 32, "jetson-agx-orin-32gb", "trace"),
    ("Radeon 8060S Graphics", 64038 * 2**20, 20, "11.5", 32, "radeon-8060s", "trace"),
    ("Intel(R) Arc(TM) A770 Graphics", 15473 * 2**20, None, None, None, "arc-a770-16gb", "trace"),
]


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row[0] or "no name")
def test_recorded_devices_resolve(row):
    name, memory, count, capability, warp, wanted, how = row
    device = find(properties(name, memory, count, capability, warp), amd=warp == 64).device
    assert (device.id, device.how) == (wanted, how)
    assert device.provenance


@pytest.mark.parametrize("spec", device_specs(), ids=lambda p: p.id)
def test_every_known_name_resolves_to_its_part_alone_and_in_other_spelling(spec):
    for name in spec.names:
        for spelled in (name, name.upper(), f"  {name} "):
            for size in spec.memory_gb:
                recorded = properties(spelled, int(0.96 * size * GIB), spec.multiprocessors)
                match = find(recorded, amd=spec.vendor == "AMD")
                assert (match.device.id, match.device.how) == (spec.id, "trace")
                assert match.device.peaks == spec.peaks


@pytest.mark.parametrize(
    "name",
    ["NVIDIA RTX A4000", "NVIDIA L40G", "NVIDIA A1000", "NVIDIA GH200 120GB", "H1000", "NVIDIA L400",
     "NVIDIA GeForce RTX 3090 Ti", "NVIDIA GeForce RTX 4090 Laptop GPU"],
)  # fmt: skip
def test_a_name_inside_another_never_matches(name):
    match = find(properties(name, 16 * GIB, 200, "8.6"))
    assert match.device.how == "unknown"
    assert match.device.peaks == () and match.device.bandwidth_bytes_per_s is None
    assert [w.code for w in match.warnings] == ["no_device"]


def test_unknown_names_the_nearest_and_the_options():
    device = find(properties("Quadro GX100", 17069309952, 56, "6.0")).device
    for text in ("quadro-gp100", "--device ", "--device-file", "--bandwidth", "--peak"):
        assert text in device.provenance


def test_no_device_properties_is_unknown():
    match = find(None)
    assert match.device.how == "unknown"
    assert "deviceProperties" in match.device.provenance


def test_a_part_of_one_vendor_is_never_taken_for_the_other():
    """gfx942 reports compute capability 9.4, gfx90a 9.0: the numbers collide with NVIDIA's."""
    assert find(properties("", 68702699520, 104, "9.0", warp=32)).device.how == "unknown"
    nvidia = properties("NVIDIA H100 80GB HBM3", 85018279936, 132, "9.0")
    assert find(nvidia, amd=True).device.how == "unknown"


@pytest.mark.parametrize("share", [0.90, 0.92, 0.99, 1.01])
def test_memory_may_vary_by_driver_and_ecc(share):
    assert find(properties("Tesla T4", int(16 * GIB * share) + 1, 40, "7.5")).device.id == "t4"


@pytest.mark.parametrize("share", [0.5, 0.85, 1.05, 2.0])
def test_memory_of_another_part_speaks_against_the_name(share):
    assert find(properties("Tesla T4", int(16 * GIB * share), 40, "7.5")).device.how == "unknown"


def test_memory_tells_h100_from_h200_and_40_from_80():
    assert find(properties("NVIDIA A100", 42346610688, 108, "8.0")).device.peak("matrix", "bf16") == 312e12
    assert find(properties("NVIDIA H100 80GB HBM3", 141 * GIB, 132, "9.0")).device.how == "unknown"


def test_several_candidates_with_different_bandwidth_leave_it_open():
    match = find(properties("NVIDIA A100", 85174583296, 108, "8.0"))
    assert match.device.bandwidth_bytes_per_s is None
    assert match.device.peak("matrix", "bf16") == 312e12
    assert "1.94 TB/s to 2.04 TB/s" in match.warnings[0].message


def test_a_board_code_means_the_module_and_the_spread_is_said():
    match = find(properties("NVIDIA PG509-210", 84990623744, 108, "8.0"))
    assert match.device.bandwidth_bytes_per_s == 2.039e12
    assert "5% apart" in match.warnings[0].message
    assert "--device" in match.warnings[0].message


def test_a_proportional_slice_scales_everything():
    match = find(properties("NVIDIA A100-SXM4-80GB MIG 1g.10gb", int(9.75 * GIB), 14, "8.0"))
    assert match.device.peak("matrix", "bf16") == pytest.approx(312e12 * 14 / 108)
    assert match.device.bandwidth_bytes_per_s == pytest.approx(2.039e12 * 9.75 / 80)
    assert match.device.multiprocessors == 14
    assert [w.code for w in match.warnings] == ["device_slice"]


def test_a_slice_out_of_proportion_has_no_bandwidth():
    match = find(properties("NVIDIA A100-SXM4-80GB MIG 3g.40gb", int(39.5 * GIB), 42, "8.0"))
    assert match.device.bandwidth_bytes_per_s is None
    assert match.device.peak("matrix", "bf16") == pytest.approx(312e12 * 42 / 108)
    partition = find(properties("AMD Instinct MI300X", 206141652992, 38, "9.4", 64), amd=True)
    assert partition.device.bandwidth_bytes_per_s is None
    assert partition.device.multiprocessors == 38


def test_more_multiprocessors_than_the_part_has_is_another_part():
    assert find(properties("NVIDIA A10", 24 * GIB * 0.93 // 1, 80, "8.6")).device.how == "unknown"


def test_without_a_count_the_name_and_memory_decide():
    """torch 2.13's Python exporter omits numSms."""
    assert find(properties("NVIDIA H100 80GB HBM3", 85018279936)).device.how == "trace"
    assert find(properties("", 206141652992, None, "9.4", 64)).device.how == "unknown"
    sliced = find(properties("NVIDIA A100-SXM4-80GB MIG 7g.80gb", 85174583296))
    assert sliced.device.how == "unknown"


def test_a_name_of_several_parts_is_told_by_memory_or_count():
    def found(name, memory_gb, count):
        return find(properties(name, int(memory_gb * 0.97 * GIB), count, "8.6")).device.id

    assert found("NVIDIA GeForce RTX 3080", 10, 68) == "rtx-3080"
    assert found("NVIDIA GeForce RTX 3080", 12, 70) == "rtx-3080-12gb"
    assert found("NVIDIA GeForce RTX 3050", 8, 20) == "rtx-3050-8gb"
    assert found("NVIDIA GeForce RTX 3050", 6, 18) == "rtx-3050-6gb"


def test_a_name_of_several_parts_without_memory_and_count_has_only_what_they_share():
    match = find(properties("NVIDIA GeForce RTX 3060"))
    assert match.device.id == "rtx-3060/rtx-3060-8gb"
    assert match.device.bandwidth_bytes_per_s is None  # 360 or 240 GB/s
    assert match.device.peak("vector", "fp32") == pytest.approx(28 * 256 * 1.777e9, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "memory_gb", "count"),
    [("NVIDIA GeForce RTX 4090 Mega", 24, 120), ("NVIDIA GeForce RTX 3060", 6, 20), ("NVIDIA L4 Ti", 16, 40)],
)
def test_another_cut_of_a_known_part_is_unknown_not_a_slice(name, memory_gb, count):
    match = find(properties(name, memory_gb * GIB, count, "8.9"))
    assert (match.device.how, [w.code for w in match.warnings]) == ("unknown", ["no_device"])


@pytest.mark.parametrize(
    ("unknown", "near"),
    [
        (("NVIDIA GeForce RTX 4095", 24 * GIB, 130, "8.9"), {"rtx-4090", "rtx-4090-d"}),
        (("NVIDIA H300", 192 * GIB, 140, "9.0"), {"h200-sxm", "gh200-144gb"}),
        (("NVIDIA GeForce RTX 2055", 6 * GIB, 28, "7.5"), {"rtx-2060"}),
    ],
)
def test_the_nearest_are_of_the_same_generation_and_size(unknown, near):
    text = find(properties(*unknown)).device.provenance
    named = set(text.split("Nearest in the table: ")[1].split(".")[0].split(", "))
    assert near <= named or named <= near
    by_id = {spec.id: spec for spec in device_specs()}
    for part in named:
        assert by_id[part].compute_capability == unknown[3]
        assert 0.5 <= by_id[part].multiprocessors / unknown[2] <= 2


CLOCKS = GpuClocks(
    index=0, name="NVIDIA GeForce RTX 4095", multiprocessors=130, clock_hz=2.5e9, memory_clock_hz=10.5e9,
    memory_bus_bits=384, l2_bytes=2**26,
)  # fmt: skip


def test_recorded_clocks_are_roofs_of_an_unknown_device():
    match = find(properties("NVIDIA GeForce RTX 4095", 24 * GIB, 130, "8.9"), clocks=CLOCKS)
    device = match.device
    assert (device.how, device.confidence, device.multiprocessors) == ("derived", "low", 130)
    assert device.id == "derived-geforce-rtx-4095"
    assert device.bandwidth_bytes_per_s == 2 * 10.5e9 * 384 / 8  # two transfers a clock: 1008 GB/s
    assert device.peak("vector", "fp32") == 130 * 128 * 2 * 2.5e9
    assert device.peak("matrix", "bf16") == 130 * 512 * 2.5e9  # a GeForce's half
    assert [w.code for w in match.warnings] == ["device_derived"]
    assert "rtx-4090" in match.warnings[0].message and "--device " in match.warnings[0].message


def test_clocks_leave_a_known_device_as_it_is_and_fill_a_bandwidth_that_is_not_known():
    known = properties("NVIDIA GeForce RTX 4090", 24 * GIB, 128, "8.9")
    assert find(known, clocks=CLOCKS).device == find(known).device
    open_one = properties("NVIDIA A100-SXM-64GB", 64 * GIB, 124, "8.0")
    assert [w.code for w in find(open_one).warnings] == ["no_bandwidth"]
    match = find(open_one, clocks=CLOCKS)
    assert match.device.bandwidth_bytes_per_s == 1.008e12 and match.warnings == ()
    assert "derived" in match.device.provenance


def test_clocks_tell_versions_of_one_part_apart():
    """A 3060 Ti is sold with GDDR6 (14 Gbit/s a pin) and GDDR6X (19), 256 bit wide."""
    recorded = properties("NVIDIA GeForce RTX 3060 Ti", 8 * GIB, 38, "8.6")
    assert find(recorded).device.bandwidth_bytes_per_s == 448e9
    for gbit, rate in ((14.002, 448e9), (19.002, 608.064e9)):
        clocks = msgspec.structs.replace(CLOCKS, memory_clock_hz=gbit / 2 * 1e9, memory_bus_bits=256)
        assert find(recorded, clocks=clocks).device.bandwidth_bytes_per_s == pytest.approx(rate)
    stacked = properties("NVIDIA A100-SXM4-80GB", 85174583296, 108, "8.0")
    assert find(stacked, clocks=CLOCKS).device == find(stacked).device


@pytest.mark.parametrize("missing", ["clock_hz", "memory_clock_hz", "memory_bus_bits"])
def test_too_few_clocks_leave_a_device_unknown(missing):
    few = msgspec.structs.replace(CLOCKS, **{missing: None})
    assert find(properties("NVIDIA X1", 24 * GIB, 130, "8.9"), clocks=few).device.how == "unknown"
    assert find(properties("NVIDIA X1", 24 * GIB, 130, "99.0"), clocks=CLOCKS).device.how == "unknown"
    amd = properties("AMD Instinct MI999", 24 * GIB, 130, "9.4", 64)
    assert find(amd, clocks=CLOCKS).device.how == "unknown"
