"""Peaks follow from clock and architecture: those of datasheets confirm the rates, the rates the rest."""

import pytest

from traceanalyzer.device import device_specs
from traceanalyzer.device.architecture import peaks_at

SPECS = {spec.id: spec for spec in device_specs()}
DERIVED = [spec for spec in SPECS.values() if spec.boost_clock_hz and spec.vendor == "NVIDIA"]

# Boost clocks of parts whose peaks in the table are datasheets' figures, in MHz. Hopper's matrix engine
# boosts to 1830, or 1620 on the PCIe board, its vector engine and fp64 to 1980.
CLOCKS = {
    "p100-sxm2": 1480, "v100-sxm2": 1530, "t4": 1590, "a10": 1695, "a40": 1740, "a30": 1440,
    "a100-sxm4-40gb": 1410, "rtx-a6000": 1800, "l4": 2040, "l40s": 2520, "rtx-6000-ada": 2505,
    "h100-sxm5": 1830, "h100-pcie": 1620, "rtx-2080-ti": 1545, "rtx-3090": 1695, "rtx-4090": 2520,
    "rtx-5090": 2407, "rtx-pro-6000-bw-ws": 2617, "rtx-pro-6000-bw-maxq": 2280, "b200": 1850,
}  # fmt: skip
MATRIX = {
    "RDNA 3": {"fp16": 1024, "bf16": 1024, "int8": 1024},
    "RDNA 3.5": {"fp16": 1024, "bf16": 1024, "int8": 1024},
    "RDNA 4": {"fp16": 2048, "bf16": 2048, "fp8": 4096, "int8": 4096}, "RDNA 2": {}, "GCN 5.1": {},
}  # fmt: skip  # FLOP a clock of a work-group processor, AMD GPUOpen (per CU: half)


@pytest.mark.parametrize("part", CLOCKS)
def test_datasheets_matrix_peaks_are_rate_times_clock(part):
    spec = SPECS[part]
    peaks = peaks_at(spec.names[0], spec.compute_capability, spec.multiprocessors, CLOCKS[part] * 1e6)
    for peak in peaks:
        printed = spec.peak("matrix", peak.precision)
        other_clock = part.startswith("h100") and peak.precision == "fp64"
        if peak.engine == "matrix" and printed and not other_clock:
            assert peak.flop_per_s == pytest.approx(printed, rel=0.04), peak


@pytest.mark.parametrize("part", [p for p in CLOCKS if not p.startswith(("h100", "b200"))])
def test_datasheets_vector_peaks_are_cores_times_two_times_clock(part):
    spec = SPECS[part]
    peaks = peaks_at(spec.names[0], spec.compute_capability, spec.multiprocessors, CLOCKS[part] * 1e6)
    (fp32,) = [peak.flop_per_s for peak in peaks if (peak.engine, peak.precision) == ("vector", "fp32")]
    assert fp32 == pytest.approx(spec.peak("vector", "fp32"), rel=0.04)


@pytest.mark.parametrize("spec", DERIVED, ids=lambda p: p.id)
def test_derived_peaks_are_those_of_the_architecture(spec):
    peaks = peaks_at(spec.names[0], spec.compute_capability, spec.multiprocessors, spec.boost_clock_hz)
    assert {(p.engine, p.precision) for p in peaks} == {(p.engine, p.precision) for p in spec.peaks}
    for peak in peaks:
        assert spec.peak(peak.engine, peak.precision) == pytest.approx(peak.flop_per_s, rel=1e-3), peak


@pytest.mark.parametrize("spec", [p for p in SPECS.values() if p.generation in MATRIX], ids=lambda p: p.id)
def test_radeon_peaks_are_those_of_the_architecture(spec):
    rates = MATRIX[spec.generation]
    assert {p.precision for p in spec.peaks if p.engine == "matrix"} == set(rates)
    for precision, rate in rates.items():
        derived = rate * spec.multiprocessors * spec.boost_clock_hz
        assert spec.peak("matrix", precision) == pytest.approx(derived, rel=1e-3)


@pytest.mark.parametrize(
    "spec", [p for p in SPECS.values() if p.memory_bus_bits and p.bandwidth_bytes_per_s], ids=lambda p: p.id
)
def test_bandwidth_is_that_of_a_memory_there_is(spec):
    """Gbit/s of a pin: HBM2 to 3 from 1.4, LPDDR5 from 4.2, GDDR5 from 6, GDDR6X to 23, GDDR7 to 30."""
    pin = spec.bandwidth_bytes_per_s * 8 / spec.memory_bus_bits / 1e9
    wide = spec.memory_bus_bits >= 1024
    assert 1.4 < pin < 5.5 if wide else 4.2 < pin <= 30
    if spec.generation == "Pascal" and not wide:
        assert pin <= 11.5
    if spec.generation in ("Turing", "RDNA 2", "Alchemist"):
        assert pin <= 18


@pytest.mark.parametrize("spec", DERIVED, ids=lambda p: p.id)
def test_engines_have_the_ratios_of_their_architecture(spec):
    """A GeForce adds up in fp32 at half the rate; 8-bit integers go at full rate on both."""
    fp32, fp16, int8 = (
        spec.peak(*key) for key in (("vector", "fp32"), ("matrix", "fp16"), ("matrix", "int8"))
    )
    if fp16 is None or spec.compute_capability in ("7.0", "8.0", "8.7", "11.0", "12.1"):
        return
    geforce = "GeForce" in spec.names[0]
    dense = 2 if geforce else 4
    turing = 2 if spec.compute_capability == "7.5" else 1
    assert fp16 / fp32 == pytest.approx(dense * turing, rel=1e-3)
    assert int8 / fp16 == pytest.approx(4 if geforce else 2, rel=1e-3)
    for narrow, ratio in (("bf16", 1), ("tf32", 0.5), ("fp8", 2)):
        if found := spec.peak("matrix", narrow):
            assert found / fp16 == pytest.approx(ratio, rel=1e-3)
