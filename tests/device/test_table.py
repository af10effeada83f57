"""The table is plausible, unambiguous, and consistent with figures it was not copied from."""

import subprocess
import sys
from itertools import combinations

import pytest

from traceanalyzer.device import device_specs
from traceanalyzer.device.names import normalized, words_of
from traceanalyzer.device.table import FILES, specs_of

SPECS = device_specs()
IDS = [spec.id for spec in SPECS]

# Memory bus width in bits and data rate in Gbit/s per pin, from the memory sections of datasheets and
# whitepapers: an independent way to the bandwidth, which catches another part's figure.
BUS = {
    "p100-sxm2": (4096, 1.43), "v100-sxm2": (4096, 1.752), "v100-pcie": (4096, 1.752),
    "v100s-pcie": (4096, 2.214), "t4": (256, 10.0), "a10": (384, 12.5), "a10g": (384, 12.5),
    "a30": (3072, 2.43), "a40": (384, 14.5), "rtx-a6000": (384, 16.0), "a100-sxm4-40gb": (5120, 2.43),
    "a100-pcie-40gb": (5120, 2.43), "a100-pcie-80gb": (5120, 3.024), "a100-sxm4-80gb": (5120, 3.186),
    "l4": (192, 12.5), "l40": (384, 18.0), "l40s": (384, 18.0), "rtx-6000-ada": (384, 20.0),
    "h100-sxm5": (5120, 5.23), "h100-pcie": (5120, 3.2), "h200-sxm": (6144, 6.25), "b200": (8192, 7.7),
    "rtx-2080-ti": (352, 14.0), "rtx-3090": (384, 19.5), "rtx-4090": (384, 21.0), "rtx-5090": (512, 28.0),
    "rtx-pro-6000-bw-ws": (512, 28.0), "mi100": (4096, 2.4), "mi210": (4096, 3.2),
    "mi250x-per-gcd": (4096, 3.2), "mi300x": (8192, 5.2), "mi325x": (8192, 6.0), "mi350x": (8192, 8.0),
}  # fmt: skip

# Ridges of the 16-bit matrix peak (bf16, else fp16), FLOP/byte, as published or computed by hand.
RIDGES = {
    "v100-sxm2": 138.9, "v100-pcie": 124.4, "v100s-pcie": 114.6, "t4": 203.1, "a10": 208.3, "a10g": 116.7,
    "a30": 176.8, "a40": 215.1, "a100-sxm4-40gb": 200.6, "a100-pcie-80gb": 161.2, "a100-sxm4-80gb": 153.0,
    "l4": 403.3, "l40": 209.5, "l40s": 419.0, "h100-sxm5": 295.3, "h100-pcie": 378.0, "h100-nvl": 214.1,
    "h200-sxm": 206.1, "b200": 292.2, "gb200": 312.5, "rtx-3090": 75.9, "rtx-4090": 163.9,
    "rtx-5090": 116.9, "mi100": 75.1, "mi210": 110.5, "mi300x": 246.7, "mi325x": 217.9, "h20": 37.0,
}  # fmt: skip


def overlap(one, other):
    """Whether some recorded memory size would be taken for a size of both."""
    return any(0.9 * a <= 1.02 * b and 0.9 * b <= 1.02 * a for a in one.memory_gb for b in other.memory_gb)


def test_an_id_belongs_to_one_part_and_a_name_to_parts_that_memory_or_count_tell_apart():
    assert len(IDS) == len(set(IDS))
    for one, other in combinations(SPECS, 2):
        if set(map(normalized, one.names)) & set(map(normalized, other.names)):
            assert one.multiprocessors != other.multiprocessors or not overlap(one, other), (one.id, other.id)
    owner = {normalized(name): spec.id for spec in SPECS for name in spec.names}
    assert all(owner.get(id, id) == id for id in IDS), "an id that is also the name of another part"


def test_parts_of_one_name_are_in_one_file():
    """So that whoever has found a name in one file need not read the next."""
    files = {(normalized(name), file) for file in FILES for spec in specs_of(file) for name in spec.names}
    assert len(files) == len({name for name, _ in files})


def test_a_part_of_a_data_center_is_found_in_the_first_file_alone():
    program = (
        "from traceanalyzer.device import find, table\n"
        "from traceanalyzer.records.trace import DeviceProperties\n"
        "recorded = DeviceProperties(index=0, name='NVIDIA H100 80GB HBM3', memory_bytes=85_000_000_000)\n"
        "assert table.part_of(find(recorded).device).id == 'h100-sxm5'\n"
        "print(table.specs_of.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_the_whole_name_wins_over_a_shorter_one_inside_it():
    everyone = [(words_of(name), spec.id) for spec in SPECS for name in spec.names]
    for words, owner in everyone:
        inside = [(len(other), who) for other, who in everyone if other <= words]
        assert owner in [who for length, who in inside if length == max(inside)[0]]


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_every_part_is_plausible(spec):
    assert spec.source and spec.names and spec.vendor and spec.generation
    assert spec.confidence in ("high", "medium", "low")
    assert spec.confidence != "high" or spec.checked_with, "high means that an independent table agrees"
    assert spec.multiprocessors and spec.memory_gb
    assert spec.peak("vector", "fp32")
    if spec.bandwidth_bytes_per_s is not None:
        assert 30e9 < spec.bandwidth_bytes_per_s < 20e12
    for peak in spec.peaks:
        assert 1e10 < peak.flop_per_s < 2e16


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_precisions_follow_the_architecture(spec):
    bf16, fp8, tf32 = (spec.peak("matrix", p) for p in ("bf16", "fp8", "tf32"))
    if spec.vendor == "NVIDIA":
        capability = float(spec.compute_capability)
        assert (bf16 is None) == (capability < 8.0)
        assert (fp8 is None) == (capability < 8.9)
        assert spec.peak("matrix", "fp32") is None
    if spec.vendor == "AMD":
        code = spec.compute_capability
        assert (fp8 is None) == (code not in ("gfx942", "gfx950", "gfx1200", "gfx1201"))
    if fp8 and bf16:
        assert fp8 == pytest.approx(2 * bf16, rel=0.02)
    if tf32 and bf16:
        assert tf32 <= bf16


@pytest.mark.parametrize("spec", [p for p in SPECS if p.id in BUS], ids=lambda p: p.id)
def test_bandwidth_is_bus_width_times_pin_rate(spec):
    bits, gbit = BUS[spec.id]
    assert spec.bandwidth_bytes_per_s == pytest.approx(bits / 8 * gbit * 1e9, rel=0.025)


@pytest.mark.parametrize("spec", [p for p in SPECS if p.id in RIDGES], ids=lambda p: p.id)
def test_ridges(spec):
    peak = spec.peak("matrix", "bf16") or spec.peak("matrix", "fp16")
    assert peak / spec.bandwidth_bytes_per_s == pytest.approx(RIDGES[spec.id], abs=0.1)


def test_sparse_and_foreign_figures_that_circulate_are_not_in_the_table():
    by_id = {spec.id: spec for spec in SPECS}
    assert by_id["a100-sxm4-80gb"].peak("matrix", "fp8") is None  # "A100 0.7 PFLOP/s fp8"
    assert by_id["h100-sxm5"].peak("matrix", "fp8") < 2e15  # "H100 4 PFLOP/s" is sparse
    assert by_id["l4"].bandwidth_bytes_per_s == 300e9  # not an H100's 3350
    assert by_id["l4"].peak("matrix", "bf16") == 121e12  # 242 is sparse
    assert by_id["a10g"].peak("matrix", "bf16") == 70e12  # 125 is the A10
    assert by_id["gb200"].peak("matrix", "bf16") > by_id["b200"].peak("matrix", "bf16")
    assert by_id["h100-96gb-generic-name"].bandwidth_bytes_per_s is None
